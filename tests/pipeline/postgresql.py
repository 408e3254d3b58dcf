"""A private PostgreSQL cluster on a free loopback port, gone after the tests."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

DEBIAN = Path("/usr/lib/postgresql")
ACCOUNT = "postgres"


def find_programs() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`: the newest of Debian's, or that on the path."""
    folders = sorted(DEBIAN.glob("*/bin"), key=lambda folder: int(folder.parent.name), reverse=True)
    on_path = shutil.which("initdb")
    folders += [Path(on_path).parent] if on_path else []
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)


def why_not() -> str | None:
    """Return why no cluster can be started here, or None if one can."""
    if find_programs() is None:
        return "PostgreSQL is not installed (Debian: apt-get install postgresql)"
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(ACCOUNT)
        except KeyError:
            return f"PostgreSQL does not run as root, and there is no account {ACCOUNT!r} to run it"
    return None


@contextlib.contextmanager
def run_cluster() -> Iterator[str]:
    """Start a cluster and yield its URL, without a database's name. Data lies in a folder of its own, removed after."""
    programs = find_programs()
    assert programs is not None
    with tempfile.TemporaryDirectory(prefix="birdbone-postgresql-") as folder:
        data, log = Path(folder) / "data", Path(folder) / "log"
        if os.geteuid() == 0:
            shutil.chown(folder, ACCOUNT)
        port = _free_port()
        options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off"
        _run(programs / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync", folder=folder)
        _run(programs / "pg_ctl", "-D", data, "-l", log, "-w", "-o", options, "start", folder=folder)
        try:
            yield f"postgresql://tester@127.0.0.1:{port}"
        finally:
            _run(programs / "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop", folder=folder)


def _run(*command: str | Path, folder: str) -> None:
    account = ACCOUNT if os.geteuid() == 0 else None
    # The server inherits these streams, so they must be no pipes that somebody waits to see closed.
    with (Path(folder) / "said").open("w") as said:
        done = subprocess.run(command, cwd=folder, user=account, stdout=said, stderr=said, check=False)
    assert done.returncode == 0, (Path(folder) / "said").read_text()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
