"""The peers that the vault's benchmarks run: DVC, Git LFS, Xet, z4ai and borg, each in processes of its own.

DVC, the Xet client and z4ai live in a virtual environment that is made here on first use, at pinned versions; git-lfs
and borg come from Debian. A cost is what a whole command takes, its start included: wall clock, wall clock until all of
it is on the disk (`os.sync`), and CPU seconds (user and system) of the process and all that it waited for (`os.wait4`).
Every tool works in a home folder of its own, with telemetry and update checks off, and with its defaults otherwise.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from blake3 import blake3

WORK_FOLDER = Path(__file__).parent / "work"
"""Where benchmarks keep what is large and not worth keeping; git ignores it."""
_PACKAGES = ("dvc==3.67.1", "hf-xet==1.8.0", "z4ai==0.2.0")
_FILE = "model.safetensors"
_XET_UPLOAD = """
import sys, hf_xet
found = hf_xet.upload_files([sys.argv[2]], "local://" + sys.argv[1], None, None, None, None, skip_sha256=True)
print(found[0].hash)
"""
_XET_DOWNLOAD = """
import sys, hf_xet
wanted = [hf_xet.PyXetDownloadInfo(sys.argv[4], sys.argv[2], int(sys.argv[3]))]
hf_xet.download_files(wanted, "local://" + sys.argv[1], None, None, None)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one command took, in seconds, and what it printed last."""

    wall: float
    wall_flushed: float
    cpu: float
    answer: str = ""


class Store(Protocol):
    """A tool with a store of its own in a fresh folder; versions are numbered from 0."""

    name: str

    def commit(self, file: Path) -> Cost:
        """Keep one more version of the file."""
        ...

    def stored_bytes(self) -> int:
        """Return the bytes of all files of the store, the working copy left out."""
        ...

    def checkout(self, number: int) -> tuple[Cost, Path]:
        """Bring a version back where no file is; return what it took and the file."""
        ...


Opener = Callable[[Path], Store]


def run_costed(*commands: Sequence[str | Path], cwd: Path, env: Mapping[str, str]) -> Cost:
    """Run commands one after another and return what they took together; the disk is at rest before and after.

    Raises:
        SystemExit: one failed; its words stand above.
    """
    os.sync()
    begun_at, cpu, answer = time.perf_counter(), 0.0, ""
    for command in commands:
        seconds, answer = _run(command, cwd=cwd, env=env)
        cpu += seconds
    wall = time.perf_counter() - begun_at
    os.sync()
    return Cost(wall=wall, wall_flushed=time.perf_counter() - begun_at, cpu=cpu, answer=answer)


def clean_environment(home: Path) -> dict[str, str]:
    """Return an environment in which nothing of this machine's user is seen."""
    home.mkdir(parents=True, exist_ok=True)
    who = {"NAME": "Bench", "EMAIL": "bench@example.org"}
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
        **{f"GIT_{role}_{key}": value for role in ("AUTHOR", "COMMITTER") for key, value in who.items()},
        "DVC_SITE_CACHE_DIR": str(home / "dvc-site"),
        "DVC_NO_ANALYTICS": "1",
        "HF_HOME": str(home / "hf"),
        "HF_XET_CACHE": str(home / "hf-xet"),
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
    }


def size_of(folder: Path) -> int:
    """Return the bytes of all files under a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def digest_of(file: Path) -> str:
    """Return the BLAKE3 of a file."""
    return blake3().update_mmap(file).hexdigest()


def open_peers(names: Iterable[str], folder: Path) -> dict[str, Opener]:
    """Return how to open each peer, after installing what is missing.

    Args:
        names: of `dvc`, `lfs`, `xet`, `z4ai`, `borg`.
        folder: of the virtual environment; made if it is missing.

    Raises:
        SystemExit: a peer cannot be installed here (names it).
    """
    openers: dict[str, Opener] = {}
    for name in names:
        if name in ("dvc", "xet", "z4ai"):
            _make_environment(folder)
        else:
            _require_program({"lfs": "git-lfs", "borg": "borg"}[name])
        openers[name] = {
            "dvc": lambda work: Dvc(work, folder / "bin"),
            "lfs": lambda work: GitLfs(work),
            "xet": lambda work: Xet(work, folder / "bin" / "python"),
            "z4ai": lambda work: Z4ai(work, folder / "bin" / "python"),
            "borg": lambda work: Borg(work),
        }[name]
    return openers


class Dvc:
    """`dvc add` and a commit in git; the cache copies, which is what DVC does where a file system cannot share."""

    name = "dvc"

    def __init__(self, work: Path, programs: Path) -> None:
        self._repository, self._env = _new_repository(work)
        self._env["PATH"] = f"{programs}{os.pathsep}{self._env['PATH']}"
        self._num_versions = 0
        self._run(
            "dvc init -q",
            "dvc config core.analytics false",
            "dvc config core.check_update false",
            "dvc config cache.type copy",
            "git add -A",
            "git commit -q -m start",
        )

    def commit(self, file: Path) -> Cost:
        shutil.copyfile(file, self._repository / _FILE)
        cost = self._run(f"dvc add -q {_FILE}", f"git add {_FILE}.dvc .gitignore", "git commit -q -m version")
        self._run(f"git tag v{self._num_versions}")
        self._num_versions += 1
        return cost

    def checkout(self, number: int) -> tuple[Cost, Path]:
        (self._repository / _FILE).unlink()
        self._run(f"git checkout -q v{number} -- {_FILE}.dvc")
        return self._run(f"dvc checkout -q {_FILE}.dvc"), self._repository / _FILE

    def stored_bytes(self) -> int:
        return size_of(self._repository / ".dvc") + size_of(self._repository / ".git")

    def _run(self, *commands: str) -> Cost:
        return run_costed(*(command.split() for command in commands), cwd=self._repository, env=self._env)


class GitLfs:
    """`git add` and `git commit` of a file that Git LFS tracks."""

    name = "lfs"

    def __init__(self, work: Path) -> None:
        self._repository, self._env = _new_repository(work)
        self._num_versions = 0
        (self._repository / ".gitattributes").write_text("*.safetensors filter=lfs diff=lfs merge=lfs -text\n")
        self._run("git lfs install --local", "git add -A", "git commit -q -m start")

    def commit(self, file: Path) -> Cost:
        shutil.copyfile(file, self._repository / _FILE)
        cost = self._run(f"git add {_FILE}", "git commit -q -m version")
        self._run(f"git tag v{self._num_versions}")
        self._num_versions += 1
        return cost

    def checkout(self, number: int) -> tuple[Cost, Path]:
        (self._repository / _FILE).unlink()
        return self._run(f"git checkout -q v{number} -- {_FILE}"), self._repository / _FILE

    def stored_bytes(self) -> int:
        return size_of(self._repository / ".git")

    def _run(self, *commands: str) -> Cost:
        return run_costed(*(command.split() for command in commands), cwd=self._repository, env=self._env)


class Xet:
    """The Xet client's own store in a folder: chunks of about 64 KB by content, deduplicated and compressed."""

    name = "xet"

    def __init__(self, work: Path, python: Path) -> None:
        self._folder, self._python = work, python
        self._env = clean_environment(work / "home")
        self._store = work / "store"
        self._store.mkdir()
        self._kept: list[tuple[str, int]] = []

    def commit(self, file: Path) -> Cost:
        cost = self._run(_XET_UPLOAD, self._store, file)
        self._kept.append((cost.answer, file.stat().st_size))
        return cost

    def checkout(self, number: int) -> tuple[Cost, Path]:
        target = self._folder / _FILE
        target.unlink(missing_ok=True)
        digest, size_bytes = self._kept[number]
        return self._run(_XET_DOWNLOAD, self._store, digest, str(size_bytes), target), target

    def stored_bytes(self) -> int:
        return size_of(self._store)

    def _run(self, program: str, *arguments: str | Path) -> Cost:
        return run_costed([self._python, "-c", program, *arguments], cwd=self._folder, env=self._env)


class Z4ai:
    """z4ai's deltas of each tensor against the version before; a codec, not a store, so versions do not come back."""

    name = "z4ai"

    def __init__(self, work: Path, python: Path) -> None:
        self._python, self._before = python, work / "before.safetensors"
        self._env = clean_environment(work / "home")
        self._store = work / "store"
        self._store.mkdir()

    def commit(self, file: Path) -> Cost:
        program, out = Path(__file__).with_name("z4ai_delta.py"), self._store / str(len(list(self._store.iterdir())))
        before = [self._before] if self._before.exists() else []
        cost = run_costed([self._python, program, file, out, *before], cwd=self._store, env=self._env)
        shutil.copyfile(file, self._before)
        return cost

    def stored_bytes(self) -> int:
        return size_of(self._store)

    def checkout(self, number: int) -> tuple[Cost, Path]:
        raise SystemExit(f"z4ai keeps deltas here only to be weighed; nobody asks it for version {number}.")


class Borg:
    """`borg create` without encryption, compressing with zstd at level 3."""

    name = "borg"

    def __init__(self, work: Path) -> None:
        self._folder = work
        self._env = clean_environment(work / "home")
        self._store = work / "store"
        self._num_versions = 0
        self._run(["init", "--encryption=none", self._store], cwd=work)

    def commit(self, file: Path) -> Cost:
        name = f"{self._store}::v{self._num_versions}"
        self._num_versions += 1
        return self._run(["create", "--compression", "zstd,3", name, file.name], cwd=file.parent)

    def checkout(self, number: int) -> tuple[Cost, Path]:
        out = self._folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir()
        return self._run(["extract", f"{self._store}::v{number}"], cwd=out), out / _FILE

    def stored_bytes(self) -> int:
        return size_of(self._store)

    def _run(self, arguments: list[str | Path], *, cwd: Path) -> Cost:
        return run_costed(["borg", *arguments], cwd=cwd, env=self._env)


def _new_repository(work: Path) -> tuple[Path, dict[str, str]]:
    repository, env = work / "repository", clean_environment(work / "home")
    repository.mkdir()
    run_costed(["git", "init", "-q", "-b", "main"], cwd=repository, env=env)
    return repository, env


def _run(command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str]) -> tuple[float, str]:
    """Run a command and return its CPU seconds and the last line that it printed."""
    words = [str(part) for part in command]
    with subprocess.Popen(words, cwd=cwd, env=dict(env), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        lines = process.stdout.read().decode().strip().splitlines()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"`{' '.join(words)}` failed with {process.returncode}.")
    return usage.ru_utime + usage.ru_stime, lines[-1] if lines else ""


def _make_environment(folder: Path) -> None:
    stamp = folder / "installed.txt"
    wanted = "\n".join(_PACKAGES)
    with contextlib.suppress(FileNotFoundError):
        if stamp.read_text() == wanted:
            return
    print(f"Installing {', '.join(_PACKAGES)} in an environment of their own.", file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "-q", *_PACKAGES], check=True)
    stamp.write_text(wanted)


def _require_program(name: str) -> None:
    package = {"borg": "borgbackup"}.get(name, name)
    if shutil.which(name) is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "install", "-y", "-q", package], check=True, stdout=sys.stderr)
    if shutil.which(name) is None:
        raise SystemExit(f"`{name}` is missing: install the package {package}, or leave this peer out with --peers.")
