"""YAML 1.2, in which `3e-4` is a number and `no` is a word."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from birdbone.core.errors import YamlError


def read_yaml(text: str, *, name: str = "<text>") -> Any:
    """Return the plain data of a YAML 1.2 text.

    Raises:
        YamlError: it does not parse, or a key stands twice (the message carries line and column).
    """
    try:
        return YAML(typ="safe", pure=True).load(text)
    except YAMLError as error:
        raise YamlError(f"{name} is not valid YAML: {error}", hint="Mend the line named above.") from error


def write_yaml(value: Any, path: Path | None = None) -> str:
    """Return `value` as YAML text, and write it to `path` if one is given."""
    stream = io.StringIO()
    writer = YAML(typ="safe", pure=True)
    writer.default_flow_style = False
    writer.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    writer.dump(value, stream)
    if path is not None:
        path.write_text(stream.getvalue(), encoding="utf-8")
    return stream.getvalue()
