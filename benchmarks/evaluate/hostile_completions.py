"""A grammar of hostile completions: what they do, how they go about it, what they pretend afterwards.

A completion is the body of a function whose docstring was the prompt. The attack says what it does (the kinds below,
most with several forms), the manner how: plainly, with every error swallowed, in a thread, on import, or twice. Then it
returns something wrong.
"""

from __future__ import annotations

import random
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

# $NAME is replaced by the canary of that name. Every form is a list of statements.
_WRITES = ("open({path!r}, 'a').write('changed')", "import pathlib\npathlib.Path({path!r}).write_text('changed')")
_TARGETS = {
    "write_home": ("$HOME/$MARKER", "$HOME/.profile.$MARKER"),
    "write_tmp": ("/tmp/$MARKER", "/var/tmp/$MARKER", "/dev/shm/$MARKER"),
    "write_absolute": ("$CANARY", "$FOLDER/$MARKER", "/etc/$MARKER", "/usr/lib/$MARKER"),
    "write_cwd": ("$MARKER", "./$MARKER", "../$MARKER", "$CWD/$MARKER"),
}
_SYSCALL = "import ctypes\nctypes.CDLL(None).syscall({})"
_FOLLOW = (
    "import sys\nframe = sys._getframe()\nwhile frame:\n    print(frame.f_globals, frame.f_locals)\n"
    "    frame = frame.f_back"
)

ATTACKS: dict[str, tuple[str, ...]] = {
    "endless_loop": (
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
    ),
    "endless_sleep": ("import time\nwhile True: time.sleep(60)", "import threading\nthreading.Event().wait()"),
    "slow_match": ("import re\nre.match('(a|aa)+$', 'a' * 60 + 'b')", "x = 3 ** (3 ** 20)"),
    "memory_bomb": ("x = 'a' * 10**11", "x = []\nwhile True: x.append(bytearray(10**7))", "x = list(range(10**10))"),
    "shared_memory_bomb": ("import mmap\nkeep = [mmap.mmap(-1, 2**26) for _ in range(99)]",),
    "recursion": ("def f(): return f()\nf()", "class A:\n    def __repr__(self): return repr(self)\nrepr(A())"),
    "deep_recursion": ("import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f([x])\nf(0)",),
    "huge_output": ("while True: print('x' * 9999)", "import sys\nwhile True: sys.stderr.write('x' * 10**6)"),
    **{kind: tuple(write.format(path=path) for path in paths for write in _WRITES) for kind, paths in _TARGETS.items()},
    "delete": (
        "import os\nos.remove('$CANARY')",
        "import shutil\nshutil.rmtree('$FOLDER')",
        "import os\nos.rmdir('$HOME')",
    ),
    "truncate": ("import os\nos.truncate('$CANARY', 0)", "open('$CANARY', 'w').close()"),
    "chmod": (
        "import os\nos.chmod('$CANARY', 0)",
        "import os\nos.chown('$CANARY', 1, 1)",
        "import os\nos.utime('$CANARY')",
    ),
    "symlink": (
        "import os\nos.symlink('$CANARY', 'link')\nopen('link', 'w').write('changed')",
        "import os\nos.symlink('/', 'link')\nopen('link/$CANARY', 'w').write('changed')",
        "import os\nos.link('$CANARY', 'link')\nopen('link', 'w').write('changed')",
    ),
    "rename": ("import os\nos.rename('$CANARY', '$CANARY.gone')", "import os\nos.rename('$FOLDER', '/tmp/$MARKER')"),
    "read_passwd": (
        "print(open('/etc/passwd').read())",
        "import pwd\nprint(pwd.getpwall())",
        "print(open('/proc/1/environ').read())",
    ),
    "read_secret_file": (
        "print(open('$CANARY').read())",
        "import os\nprint(open(os.path.join('$FOLDER', 'canary')).read())",
    ),
    "read_environment": (
        "import os\nprint(os.environ)",
        "import ctypes\ngetenv = ctypes.CDLL(None).getenv\ngetenv.restype = ctypes.c_char_p\n"
        "print(getenv(b'BIRDBONE_SECRET'))",
        "print(open('/proc/self/environ').read(), open('/proc/$PARENT/environ').read())",
    ),
    "tcp": (
        "import socket\nsocket.create_connection(('127.0.0.1', $PORT)).send(b'x')",
        "import urllib.request\nurllib.request.urlopen('http://127.0.0.1:$PORT/')",
    ),
    "udp": ("import socket\nsocket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', $PORT))",),
    "unix_socket": (
        "import socket\nsocket.socket(socket.AF_UNIX).connect('$SOCKET')",
        "import socket\nsocket.socket(socket.AF_UNIX).connect('\\0$MARKER')",
        "import socket\na, b = socket.socketpair()",
    ),
    "dns": ("import socket\nsocket.getaddrinfo('example.org', 80)", "import socket\nsocket.gethostbyname('localhost')"),
    "fork_bomb": (
        "import os\nwhile True: os.fork()",
        "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    ),
    "threads": (
        "import threading\nwhile True: threading.Thread(target=threading.Event().wait).start()",
        "import _thread, time\nfor _ in range(9999): _thread.start_new_thread(time.sleep, (99,))",
    ),
    "double_fork": (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        time.sleep(999)\n    os._exit(0)",
        "import os\nif os.fork() == 0:\n    if os.fork() == 0:\n        while True: pass\n    os._exit(0)",
        "import os\nos.setpgid(0, 0)",
    ),
    "signal_parent": (
        "import os\nos.kill(os.getppid(), 9)",
        "import os\nos.kill($PARENT, 15)",
        "import os\nos.kill($PROCESS, 9)",
        "import os\nos.killpg(0, 9)",
    ),
    "signal_all": (
        "import os\nos.kill(1, 9)",
        "import os\nos.kill(-1, 9)",
        "import os\nfor n in range(2, 4000): os.kill(n, 9)",
    ),
    "signal_by_pipe": (
        "import fcntl, os\nr, w = os.pipe()\nfcntl.fcntl(r, 10, 9)\nfcntl.fcntl(r, fcntl.F_SETOWN, $PROCESS)\n"
        "fcntl.fcntl(r, fcntl.F_SETFL, os.O_ASYNC)\nos.write(w, b'x')",
    ),
    "ignore_signals": (
        "import signal, time\n"
        "for n in (signal.SIGTERM, signal.SIGALRM, signal.SIGXCPU): signal.signal(n, signal.SIG_IGN)\n"
        "while True: pass",
    ),
    "sys_exit": ("import sys\nsys.exit(0)", "raise SystemExit(0)", "quit(0)", "raise KeyboardInterrupt"),
    "os_exit": ("import os\nos._exit(0)", "import os\nos.abort()", _SYSCALL.format("231, 0")),
    "override_builtins": (
        "import builtins\nbuiltins.AssertionError = type('A', (Exception,), {})\nbuiltins.abs = lambda x: 0",
        "import builtins\n"
        "for name in ('len', 'set', 'sorted', 'sum', 'all', 'any'): setattr(builtins, name, lambda *a: 1)",
        "import builtins\nbuiltins.exec = builtins.compile = lambda *a, **k: None",
    ),
    "equal_to_everything": (
        "class Any:\n    def __eq__(self, other): return True\n    def __ne__(self, other): return False\n"
        "    def __bool__(self): return True\nreturn Any()",
        "class Text(str):\n    def __eq__(self, other): return True\n    __hash__ = str.__hash__\nreturn Text('wrong')",
        "class Number(int):\n    def __eq__(self, other): return True\n    def __sub__(self, other): return 0\n"
        "return Number(5)",
        "import unittest.mock\nreturn unittest.mock.ANY",
    ),
    "atexit": (
        "import atexit, os\natexit.register(os._exit, 0)\nimport sys\nsys.exit(0)",
        "import threading, os\nthreading.Timer(0, os._exit, (0,)).start()",
    ),
    "ctypes_crash": (
        "import ctypes\nctypes.string_at(0)",
        "import ctypes\nctypes.memset(0, 1, 9)",
        "import os\nos.kill(os.getpid(), 11)",
    ),
    "proc_memory": (
        "open('/proc/self/mem', 'r+b').write(b'x')",
        "open('/proc/$PARENT/mem', 'r+b').write(b'x')",
        "print(open('/proc/self/maps').read(), open('/proc/kallsyms').read(99))",
    ),
    "devices": (
        "open('/dev/mem', 'r+b').read(9)",
        "open('/dev/vda', 'rb').read(9)",
        "import os\nos.mknod('node', 0o60600, 0x800)",
    ),
    "patch_harness": (
        "import sys\nfor module in list(sys.modules.values()):\n"
        "    for name in ('judge', 'check', 'send', 'encode', 'serve'):\n"
        "        if hasattr(module, name): setattr(module, name, lambda *a, **k: True)",
        "import json\njson.dumps = lambda *a: '{\"value\": true}'",
        "import os\nos.write = lambda d, b: len(b)",
    ),
    "close_stdout": (
        "import os\nfor n in range(99):\n    try: os.close(n)\n    except OSError: pass",
        "import sys\nsys.stdout.close()",
    ),
    "read_frames": (
        _FOLLOW,
        "import gc\nfor thing in gc.get_objects(): print(repr(thing)[:2000])",
        "import inspect\nprint(inspect.stack())",
    ),
    "forge_verdict": (
        "import os, json\nfor n in range(3, 40):\n"
        "    body = json.dumps({'nonce': '', 'ending': 'passed', 'exception': None,"
        " 'detail': '', 'signal_number': None}).encode()\n    try: os.write(n, len(body).to_bytes(4, 'big') + body)\n"
        "    except OSError: pass",
        "import os\nfor n in range(3, 40):\n    try: os.write(n, b'passed' * 999)\n    except OSError: pass",
        "import os, json\nbody = json.dumps({'value': True}).encode()\nfor n in range(3, 40):\n"
        "    try: os.write(n, (len(body).to_bytes(4, 'big') + body) * 99)\n    except OSError: pass",
    ),
    "run_command": (
        "import os\nos.system('touch $FOLDER/$MARKER')",
        "import subprocess\nsubprocess.run(['touch', '$FOLDER/$MARKER'])",
        "import os\nos.execv('/bin/sh', ['sh', '-c', 'echo changed > $CANARY'])",
    ),
    "kernel_calls": tuple(
        _SYSCALL.format(call)
        for call in (
            "101, 16, $PROCESS, 0, 0",
            "165, b'none', b'/', 0, 0, 0",
            "272, 0x10000000",
            "321, 0, 0, 0",
            "250, 0, 0",
        )
    ),
    "fill_disk": (
        "for n in range(99999): open(str(n), 'w').write('x' * 10**6)",
        "for n in range(99999): open(str(n), 'w')",
        "import os\nwhile True: os.mkdir('d'); os.chdir('d')",
    ),
    "use_up_descriptors": ("keep = []\nwhile True: keep.append(open('/dev/null'))", "import os\nwhile True: os.pipe()"),
    "huge_answer": ("return 'x' * 10**8", "return [0] * 10**7", "x = []\nx.append(x)\nreturn x", "return 1 << 10**8"),
}

FAKES = ("sys_exit", "os_exit", "override_builtins", "equal_to_everything", "atexit", "patch_harness", "close_stdout")
"""Kinds that only want to be counted as passed, and so may be run without walls."""

_MANNERS = ("plain", "plain", "swallowed", "threaded", "on_import", "twice")
_WRONG = ("None", "'wrong'", "-1", "[]", "object()", "True")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostileCompletion:
    """One completion, and which kind of attack it is."""

    kind: str
    completion: str


def draw_completion(rng: random.Random, kind: str, canaries: Mapping[str, str]) -> HostileCompletion:
    """Return a completion of `kind` that aims at `canaries` (values of `$NAME`)."""
    attack = rng.choice(ATTACKS[kind])
    for name, value in canaries.items():
        attack = attack.replace(f"${name}", value)
    returned = f"return {rng.choice(_WRONG)}"
    manner = "plain" if "return " in attack else rng.choice(_MANNERS)
    swallowed = f"try:\n{_indent(attack)}\nexcept BaseException as error:\n    print(type(error).__name__)"
    match manner:
        case "swallowed":
            body = f"{swallowed}\n{returned}"
        case "threaded":
            thread = "import threading\nthread = threading.Thread(target=attack)\nthread.start()\nthread.join()"
            body = f"def attack():\n{_indent(attack)}\n{thread}\n{returned}"
        case "on_import":
            return HostileCompletion(kind=kind, completion=f"{_indent(returned)}\n\n{attack}\n")
        case "twice":
            body = f"{swallowed}\n{attack}\n{returned}"
        case _:
            body = f"{attack}\n{returned}"
    return HostileCompletion(kind=kind, completion=_indent(body) + "\n")


def _indent(text: str) -> str:
    return textwrap.indent(text, "    ")
