"""The settings of a workspace: what they are, where each comes from, and editing them without losing good ones."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from birdbone.cli.errors import NoEditorError
from birdbone.core import read_yaml, write_atomically
from birdbone.core.errors import BadConfigError, WorkspaceError
from birdbone.core.workspace import FOLDER_NAME, WorkspaceConfig

_EDITORS = ("nano", "vi")


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting: its value as it holds, where that comes from, and what it means."""

    name: str
    value: Any
    origin: str
    help: str


def config_path() -> Path:
    """Return the path of the nearest workspace's `config.yaml`, whether the file is there or not, or right or wrong.

    Raises:
        WorkspaceError: no workspace here or above.
    """
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / FOLDER_NAME).is_dir():
            return folder / FOLDER_NAME / "config.yaml"
    raise WorkspaceError(f"No workspace here or above: {here} has no {FOLDER_NAME} folder.")


def check_config(text: str, *, name: str) -> WorkspaceConfig:
    """Return the settings that a text holds.

    Raises:
        YamlError: it does not parse.
        BadConfigError: it does not fit the schema (names every fault).
    """
    values = read_yaml(text, name=name)
    if values is not None and not isinstance(values, dict):
        raise BadConfigError(f"{name} should hold settings, one `name: value` a line.")
    try:
        return WorkspaceConfig.model_validate(values or {})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise BadConfigError(f"{name} does not fit: {'; '.join(faults)}.") from error


def settings_of(path: Path) -> list[Setting]:
    """Return every setting with where it comes from: the environment, the file, or the default."""
    config = check_config(path.read_text(encoding="utf-8") if path.exists() else "", name=str(path))
    return [_setting(name, config) for name in WorkspaceConfig.model_fields]


def edit_config(path: Path) -> None:
    """Open the settings in an editor, check what comes back, and only then put it in place.

    Raises:
        BadConfigError, YamlError: it is wrong; the old settings stay, and the draft is kept for the next try.
        NoEditorError: no editor could be started.
    """
    draft = path.with_name("config.draft.yaml")
    if not draft.exists():
        draft.write_text(path.read_text(encoding="utf-8") if path.exists() else _template(), encoding="utf-8")
    _open_editor(draft)
    text = draft.read_text(encoding="utf-8")
    check_config(text, name=str(draft))
    with write_atomically(path) as stream:
        stream.write(text.encode())
    draft.unlink()


def hide_password(url: str) -> str:
    """Return a database URL as it may be shown."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return url


def _setting(name: str, config: WorkspaceConfig) -> Setting:
    variable = f"BIRDBONE_{name.upper()}"
    is_in_environment = bool(os.environ.get(variable))
    value = os.environ[variable] if is_in_environment else getattr(config, name)
    origin = variable if is_in_environment else "config.yaml" if name in config.model_fields_set else "default"
    shown = hide_password(value) if name == "database_url" and value else value
    return Setting(name=name, value=shown, origin=origin, help=WorkspaceConfig.model_fields[name].description or "")


def _template() -> str:
    lines = ["# Settings of this workspace. Take the # away from a line to set it."]
    for name, field in WorkspaceConfig.model_fields.items():
        lines += ["", f"# {field.description}", f"# {name}:"]
    return "\n".join(lines) + "\n"


def _open_editor(path: Path) -> None:
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    command = shlex.split(chosen) if chosen else [name for name in _EDITORS if shutil.which(name)][:1]
    if not command:
        raise NoEditorError("No editor was found.")
    try:
        status = subprocess.run([*command, str(path)], check=False).returncode
    except OSError as error:
        raise NoEditorError(f"The editor {command[0]!r} could not be started: {error.strerror}.") from error
    if status:
        raise NoEditorError(f"The editor {command[0]!r} ended with {status}; the settings stay as they were.")
