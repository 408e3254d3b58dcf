"""Nothing outside is read, changed, reached or signalled, with all walls and with only some of them.

Each attack is aimed at a canary that would notice: a file and a folder that everybody may write, listening sockets, a
process.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from birdbone.evaluate.sandbox import Layer, Limits, SandboxResult, describe_layers, run_python

pytestmark = pytest.mark.usefixtures("sandbox")

SECRET = "a-secret-of-the-canary"
WALLS: dict[str, tuple[Layer, ...]] = {
    "all walls": (),
    "Landlock and seccomp only": ("namespaces", "private_root"),
    "namespaces only": ("landlock", "seccomp"),
}


@pytest.fixture(params=WALLS)
def without(request: pytest.FixtureRequest) -> tuple[Layer, ...]:
    chosen = WALLS[request.param]
    if not describe_layers(without=chosen).is_enough:
        pytest.skip("this machine does not have these walls")
    return chosen


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BIRDBONE_SECRET", SECRET)
    folder = tmp_path / "canary"
    folder.mkdir()
    (folder / "file").write_text(SECRET)
    for path, mode in ((tmp_path, 0o777), (folder, 0o777), (folder / "file", 0o666)):
        path.chmod(mode)
    return folder


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"]) as running:
        yield running
        running.kill()


def picture(folder: Path) -> list[tuple[object, ...]]:
    states = [(path, path.lstat(), path.read_bytes() if path.is_file() else b"") for path in sorted(folder.rglob("*"))]
    return [(str(path), s.st_mode, s.st_uid, s.st_nlink, s.st_mtime_ns, content) for path, s, content in states]


def attempt(attacks: dict[str, str], **names: object) -> str:
    """Return a program that tries each attack and prints its name and the error that it ended in, or `done`."""
    sources = {name: source.format(**names) for name, source in attacks.items()}
    return (
        f"for name, source in {sources!r}.items():\n    try:\n        exec(source)\n"
        "        print(name, 'done', sep=': ')\n"
        "    except Exception as error: print(name, type(error).__name__, sep=': ')\n"
    )


def errors(result: SandboxResult, attacks: dict[str, str]) -> dict[str, str]:
    """Return what each attack ended in; anything else that was printed shows as a line too many."""
    ended = dict(line.split(": ", 1) for line in result.stdout.splitlines())
    assert ended.keys() == attacks.keys(), result
    return ended


WRITES = {
    "append": "open('{file}', 'a').write('x')",
    "make": "open('{folder}/new', 'w')",
    "make in /tmp": "open('/tmp/' + '{folder}'.replace('/', '_'), 'w').write('x')\nraise OSError('private')",
    "make folder": "import os\nos.mkdir('{folder}/new')",
    "delete": "import os\nos.remove('{file}')",
    "delete folder": "import shutil\nshutil.rmtree('{folder}')",
    "truncate": "import os\nos.truncate('{file}', 0)",
    "chmod": "import os\nos.chmod('{file}', 0)",
    "chown": "import os\nos.chown('{file}', 1, 1)",
    "utime": "import os\nos.utime('{file}')",
    "xattr": "import os\nos.setxattr('{file}', 'user.x', b'x')",
    "rename": "import os\nos.rename('{file}', '{folder}/other')",
    "symbolic link": "import os\nos.symlink('{file}', 'link')\nopen('link', 'a').write('x')",
    "hard link": "import os\nos.link('{file}', 'hard')\nopen('hard', 'a').write('x')",
    "by way of proc": "open('/proc/{parent}/root{file}', 'a').write('x')",
    "by way of the working folder": "open('/proc/{parent}/cwd/x', 'a').write('x')",
    "command": "import subprocess\nsubprocess.run(['/bin/sh', '-c', 'echo x > {file}'], check=True)",
    "mknod": "import os\nos.mknod('{folder}/node', 0o60600, 0x800)",
}


def test_nothing_outside_is_changed(canary: Path, without: tuple[Layer, ...], limits: Limits) -> None:
    before = picture(canary.parent)
    code = attempt(WRITES, file=canary / "file", folder=canary, parent=os.getpid())
    ended = errors(run_python(code, limits=limits, without=without), WRITES)
    assert picture(canary.parent) == before
    assert not Path("/tmp", str(canary).replace("/", "_")).exists()
    assert "done" not in ended.values(), ended


READS = {
    "file": "print(open('{file}').read())",
    "list": "import os\nprint(os.listdir('{folder}'))",
    "passwd": "print(open('/etc/passwd').read())",
    "environment of the parent": "print(open('/proc/{parent}/environ').read())",
    "own maps": "print(open('/proc/self/maps').read())",
    "memory": "open('/proc/self/mem', 'r+b').write(b'x')",
    "physical memory": "print(open('/dev/mem', 'rb').read(9))",
    "disk": "print(open('/dev/vda', 'rb').read(9))",
    "kernel": "print(open('/sys/kernel/notes', 'rb').read(9))",
}


def test_nothing_outside_is_read(canary: Path, without: tuple[Layer, ...], limits: Limits) -> None:
    code = attempt(READS, file=canary / "file", folder=canary, parent=os.getpid())
    result = run_python(code, limits=limits, without=without)
    assert SECRET not in result.stdout
    assert "done" not in errors(result, READS).values()


def test_the_environment_is_clean(canary: Path, without: tuple[Layer, ...], limits: Limits) -> None:
    code = (
        "import os, ctypes\nprint(sorted(os.environ))\ng = ctypes.CDLL(None).getenv\ng.restype = ctypes.c_char_p\n"
        "print(g(b'BIRDBONE_SECRET'), g(b'PATH'))"
    )
    result = run_python(code, limits=limits, without=without)
    assert result.stdout == "['HOME', 'LANG', 'TMPDIR']\nNone None\n"


def test_no_descriptor_leads_outside(without: tuple[Layer, ...], limits: Limits) -> None:
    code = (
        "import os, stat\nfor n in range(200):\n    try: m = os.fstat(n).st_mode\n    except OSError: continue\n"
        "    print('pipe' if stat.S_ISFIFO(m) else 'device' if stat.S_ISCHR(m) else 'other')"
    )
    with socket.create_server(("127.0.0.1", 0)) as server:
        os.set_inheritable(server.fileno(), True)
        kinds = run_python(code, limits=limits, without=without).stdout.split()
    assert kinds == ["device", "pipe", "pipe", "pipe", "pipe"]


CONNECTIONS = {
    "tcp": "import socket\nsocket.create_connection(('127.0.0.1', {port}), 2).send(b'x')",
    "udp": "import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', {port}))",
    "unix": "import socket\nsocket.socket(socket.AF_UNIX).connect('{folder}/socket')",
    "abstract": "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0birdbone-{port}')",
    "dns": "import socket\nsocket.getaddrinfo('localhost.example', 80)",
}


def test_nobody_is_reached(canary: Path, without: tuple[Layer, ...], limits: Limits) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as by_path,
        socket.socket(socket.AF_UNIX) as abstract,
    ):
        port = tcp.getsockname()[1]
        udp.bind(("127.0.0.1", port))
        by_path.bind(os.path.relpath(canary / "socket"))
        (canary / "socket").chmod(0o777)
        abstract.bind(f"\0birdbone-{port}")
        by_path.listen()
        abstract.listen()
        for listener in (tcp, udp, by_path, abstract):
            listener.setblocking(False)
        code = attempt(CONNECTIONS, port=port, folder=canary)
        ended = errors(run_python(code, limits=limits, without=without), CONNECTIONS)
        for listener in (tcp, by_path, abstract):
            with pytest.raises(BlockingIOError):
                listener.accept()
        with pytest.raises(BlockingIOError):
            udp.recv(1)
    assert "done" not in ended.values(), ended


SIGNALS = {
    "kill": "import os\nos.kill({pid}, 9)",
    "parent": "import os\nos.kill({parent}, 15)",
    "kill all": "import os\nfor n in range(2, 500): os.kill(n, 0)",
    "tgkill": "import ctypes\nif ctypes.CDLL(None).tgkill({pid}, {pid}, 9) == 0: print('dead')\nraise OSError",
    "priority": "import os\nos.setpriority(os.PRIO_PROCESS, {pid}, 19)",
    "limits": "import resource\nresource.prlimit({pid}, resource.RLIMIT_CPU, (1, 1))",
    "pipe": (
        "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, 10, 9)\nfcntl.fcntl(r, fcntl.F_SETOWN, {pid})\n"
        "fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)\nos.write(w, b'x')"
    ),
}


def test_no_process_outside_is_touched(
    process: subprocess.Popen[bytes], without: tuple[Layer, ...], limits: Limits
) -> None:
    code = attempt(SIGNALS, pid=process.pid, parent=os.getpid())
    ended = errors(run_python(code, limits=limits, without=without), SIGNALS)
    assert process.poll() is None
    assert os.getpriority(os.PRIO_PROCESS, process.pid) == os.getpriority(os.PRIO_PROCESS, 0)
    assert "done" not in ended.values(), ended


@pytest.mark.parametrize(
    "call", ["ptrace(16, {pid}, 0, 0)", "syscall(434, {pid}, 0)", "mount(b'x', b'/', b'', 4096, 0)", "unshare(1 << 28)"]
)
def test_calls_that_no_honest_program_makes_are_death(
    call: str, process: subprocess.Popen[bytes], limits: Limits
) -> None:
    result = run_python(f"import ctypes\nctypes.CDLL(None).{call.format(pid=process.pid)}", limits=limits)
    assert (result.ending, result.detail) == ("forbidden", "SIGSYS")
    assert process.poll() is None


FLIGHTS = {
    "setsid": "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(600)",
    "double fork": (
        "import os, time\nif os.fork() == 0:\n    if os.fork() == 0: time.sleep(600)\n    os._exit(0)\nos.wait()"
    ),
    "fork bomb": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "ignored signals": "import signal\nfor n in (1, 2, 14, 15, 24): signal.signal(n, signal.SIG_IGN)\nwhile True: pass",
    "thread": "import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()",
}


def alive(name: str) -> list[str]:
    """Return the processes of this name; a fork keeps it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        with contextlib.suppress(OSError):
            if path.read_text().strip() == name:
                found.append(path.parent.name)
    return found


@pytest.mark.parametrize("attack", FLIGHTS)
def test_no_process_outlives_its_run(attack: str, without: tuple[Layer, ...]) -> None:
    name = f"flee-{secrets.token_hex(4)}"
    named = f"import ctypes\nctypes.CDLL(None).prctl(15, b'{name}')\nprint('named', flush=True)\n{FLIGHTS[attack]}"
    result = run_python(named, limits=Limits(wall_seconds=1.5, num_processes=6), without=without)
    assert result.stdout.startswith("named")
    deadline = time.monotonic() + 10
    while alive(name) and time.monotonic() < deadline:
        time.sleep(0.02)  # the kernel is still clearing away
    assert alive(name) == []
