"""One operation of the vault in a process of its own, so that its start is paid as a peer's is.

Prints a JSON row: the artefact, and the CPU seconds of the work alone, without the interpreter's start and the imports.

Run: `python vault_operation.py commit VAULT FOLDER [BASE]` or `python vault_operation.py checkout VAULT NAME FOLDER`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as the command line does, before NumPy starts threads

from birdbone.vault import checkout, commit, open_vault, put_folder


def main(arguments: list[str]) -> None:
    before = _cpu_seconds()
    match arguments:
        case ["commit", store, folder, *base]:
            vault = open_vault(Path(store))
            artefact = put_folder(vault, Path(folder), kind="model", base=base[0] if base else None)
            commit(vault, artefact, ref="main", message="version")
        case ["checkout", store, artefact, folder]:
            checkout(open_vault(Path(store)), artefact, Path(folder))
        case _:
            raise SystemExit(__doc__)
    print(json.dumps({"artefact": artefact, "work_cpu_seconds": _cpu_seconds() - before}))


def _cpu_seconds() -> float:
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


if __name__ == "__main__":
    main(sys.argv[1:])
