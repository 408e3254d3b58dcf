"""The ground floor: what every room shares and that knows of none of them.

Owns: the error root, the digest and identifier rules, the measurement record, the workspace and its settings,
the database engine, the outbox of events, atomic files, the YAML reader, processes that answer line by line.
Needs: pydantic, SQLAlchemy, blake3, ruamel.yaml. No torch.
`core.database` and `core.outbox` are imported by their names: SQLAlchemy is half of what a short command would take to
start, and most of them need no database.
"""

from birdbone.core.digest import digest_bytes, digest_file, digest_json
from birdbone.core.errors import BirdboneError, ErrorKind, exit_code
from birdbone.core.files import write_atomically, write_json
from birdbone.core.identifiers import new_run_id
from birdbone.core.measurement import Basis, Measurement
from birdbone.core.schema import Settings, Strict
from birdbone.core.workspace import Workspace, find_workspace, make_workspace
from birdbone.core.yaml12 import read_yaml, write_yaml

__all__ = [
    "Basis",
    "BirdboneError",
    "ErrorKind",
    "Measurement",
    "Settings",
    "Strict",
    "Workspace",
    "digest_bytes",
    "digest_file",
    "digest_json",
    "exit_code",
    "find_workspace",
    "make_workspace",
    "new_run_id",
    "read_yaml",
    "write_atomically",
    "write_json",
    "write_yaml",
]
