"""Guards that pre-commit runs on changed files: YAML that parses, and no file too large for git.

Usage: `python .ci/guard.py yaml FILE...` or `python .ci/guard.py size FILE...`. Prints each fault; exit code 1 if any.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

LIMIT_BYTES = 2_000_000
"""Git keeps every version of a file for ever: a model belongs in the vault, not here."""


def find_yaml_fault(path: Path) -> str | None:
    """Return why the file is not YAML 1.2 without double keys, or None. Tags (`!!python/name:`) are let through."""
    try:
        for _document in YAML(typ="rt").load_all(path.read_text(encoding="utf-8")):
            pass
    except (YAMLError, UnicodeDecodeError) as error:
        return f"{path}: {error}"
    return None


def find_size_fault(path: Path) -> str | None:
    """Return that the file is larger than `LIMIT_BYTES`, or None."""
    size_bytes = path.stat().st_size
    if size_bytes <= LIMIT_BYTES:
        return None
    return f"{path}: {size_bytes:,} bytes, the limit is {LIMIT_BYTES:,}. Keep weights outside git."


GUARDS: dict[str, Callable[[Path], str | None]] = {"yaml": find_yaml_fault, "size": find_size_fault}


def main(arguments: list[str]) -> int:
    """Run the guard named first on the files named after it."""
    if not arguments or arguments[0] not in GUARDS:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    faults = [fault for name in arguments[1:] if (fault := GUARDS[arguments[0]](Path(name)))]
    for fault in faults:
        sys.stderr.write(f"{fault}\n")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
