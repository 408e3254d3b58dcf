"""Builds the walls, then splits into judge and suspect. Runs as a process of its own, without the rest of Birdbone.

Theory of operation. The parent starts this process in a session of its own, with a job in descriptor 0: a header
(limits, code) and the examination paper (tests, nonce). It forks twice:

```text
stage    enters the namespaces, changes the root, waits; is outside of the new process namespace
└ judge    process 1 of that namespace: when it ends, the kernel kills every process in it
  └ suspect  drops what rights are left, installs the filter, runs the code
```

The paper is read by the judge after the fork, so that no byte of it was ever in the suspect's memory, and the suspect
closes descriptor 0 and that of the verdict before it loads the code. Each wall is put up where the kernel allows it;
with less than the minimum nothing is run.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from typing import Any

from birdbone.evaluate.sandbox.inside import kernel, landlock, namespaces, suspect, syscall_filter, wire
from birdbone.evaluate.sandbox.inside.judge import Link, ProgramGoneError, Verdict, explain, explain_death, judge

_FIRST_FREE_DESCRIPTOR = 3
_MAX_DESCRIPTORS = 256
_JUDGE_DESCRIPTORS = 64


class Walls:
    """Which layers stand, and why the others do not."""

    def __init__(self, without: list[str]) -> None:
        self._without = without
        self.standing: list[str] = []
        self.missing: dict[str, str] = {}
        self.has_user_namespace = False

    def try_to(self, name: str, build: Any) -> None:
        """Put up one layer: `build` returns False or raises `OSError` where it cannot be had."""
        if name in self._without:
            self.missing[name] = "left out on request"
            return
        try:
            is_standing = build() is not False
        except OSError as error:
            self.missing[name] = f"{type(error).__name__}: {error}"
            return
        if is_standing:
            self.standing.append(name)
        else:
            self.missing[name] = "the kernel does not have it"

    @property
    def are_enough(self) -> bool:
        """Whether nothing outside can be changed or reached."""
        has = set(self.standing)
        # Root is not held by a limit on processes; the filter then forbids it to have any.
        can_count = os.geteuid() != 0 or bool(has & {"throwaway_user", "seccomp"})
        is_shut_in = has >= {"namespaces", "private_root"} or has >= {"landlock", "seccomp"}
        return "no_new_privs" in has and can_count and is_shut_in


def main() -> None:
    """Run the job in descriptor 0 and write the verdict to the descriptor that the first argument names."""
    verdicts = int(sys.argv[1])
    header = wire.receive(0)
    walls = Walls(header["without"])
    walls.standing += ["process_group", "rlimits"]
    kernel.die_with_parent()
    walls.try_to("no_new_privs", kernel.forbid_new_privileges)
    walls.try_to("namespaces", lambda: _enter_namespaces(walls))
    has_throwaway_user = os.geteuid() == 0 and "namespaces" in walls.standing and not walls.has_user_namespace
    owner = header["user"] + 1 if has_throwaway_user else os.geteuid()
    if "namespaces" in walls.standing:
        walls.try_to("private_root", lambda: _change_root(owner, header["limits"]["scratch_bytes"]))
        if has_throwaway_user and "private_root" not in walls.standing:
            has_throwaway_user = False  # the library may lie where only root can read it
    else:
        walls.missing["private_root"] = "needs namespaces"
    if has_throwaway_user:
        walls.standing.append("throwaway_user")
    pid = os.fork()
    if pid == 0:
        _become_judge(header, walls, verdicts)
    os.waitpid(pid, 0)
    os._exit(0)


def _enter_namespaces(walls: Walls) -> None:
    walls.has_user_namespace = namespaces.enter()


def _change_root(owner: int, scratch_bytes: int) -> None:
    namespaces.change_root(owner=owner, scratch_bytes=scratch_bytes)


def _become_judge(header: dict[str, Any], walls: Walls, verdicts: int) -> None:
    kernel.die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # process 1 is deaf to signals it does not handle
    is_rooted = "private_root" in walls.standing
    writable = [namespaces.SCRATCH] if is_rooted else []
    walls.try_to("landlock", lambda: landlock.restrict(namespaces.readable_paths(), writable, namespaces.DEVICES))
    walls.try_to("seccomp", _can_filter)
    wire.send(verdicts, {"layers": walls.standing, "missing": walls.missing, "is_enough": walls.are_enough})
    if not walls.are_enough:
        os._exit(0)
    requests_in, requests_out = os.pipe()
    replies_in, replies_out = os.pipe()
    pid = os.fork()
    if pid == 0:
        _become_suspect(header, walls, requests=requests_in, replies=replies_out)
    _keep_descriptors(verdicts, requests_out, replies_in)
    _lock(header, walls, user=header["user"], num_descriptors=_JUDGE_DESCRIPTORS, num_processes=1)
    verdict, nonce = _examine(Link(requests=requests_out, replies=replies_in), pid)
    wire.send(verdicts, {"nonce": nonce, **verdict._asdict()})
    os._exit(0)


def _examine(link: Link, pid: int) -> tuple[Verdict, str]:
    load_error: BaseException | None = None
    try:
        link.hear()
    except BaseException as error:  # noqa: BLE001 -- whatever the code raised while it was loaded is a verdict
        load_error = error
    paper = wire.receive(0)
    verdict = judge(link, paper) if load_error is None else explain(link, load_error)
    if link.is_broken or isinstance(load_error, ProgramGoneError):
        verdict = explain_death(pid, verdict)
    return verdict, paper["nonce"]


def _become_suspect(header: dict[str, Any], walls: Walls, *, requests: int, replies: int) -> None:
    null = os.open("/dev/null", os.O_RDONLY)
    os.dup2(null, 0)
    _keep_descriptors(requests, replies)
    os.environ.clear()
    os.environ.update({"HOME": namespaces.SCRATCH, "TMPDIR": namespaces.SCRATCH, "LANG": "C.UTF-8"})
    os.chdir(namespaces.SCRATCH if "private_root" in walls.standing else "/")
    os.umask(0o077)
    limits = header["limits"]
    # Beside its own: judge and stage count too, unless the user is a throwaway one.
    num_processes = limits["num_processes"] + (0 if "throwaway_user" in walls.standing else 2)
    sys.argv[:] = [""]
    sys.dont_write_bytecode = True
    _lock(
        header,
        walls,
        user=header["user"] + 1,
        num_descriptors=limits["num_descriptors"],
        num_processes=num_processes,
    )
    suspect.serve(header.pop("code"), header["module"], requests=requests, replies=replies)
    os._exit(0)


def _lock(header: dict[str, Any], walls: Walls, *, user: int, num_descriptors: int, num_processes: int) -> None:
    limits = header["limits"]
    may_fork = "namespaces" in walls.standing and ("throwaway_user" in walls.standing or os.geteuid() != 0)
    if "throwaway_user" in walls.standing:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    kernel.drop_capabilities()
    kernel.forbid_tracing()
    kernel.die_with_parent()
    for kind, soft, hard in (
        (resource.RLIMIT_CPU, limits["cpu_seconds"], limits["cpu_seconds"] + 1),
        (resource.RLIMIT_AS, limits["memory_bytes"], limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"], limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, num_descriptors, num_descriptors),
        (resource.RLIMIT_NPROC, num_processes, num_processes),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_MEMLOCK, 0, 0),
        (resource.RLIMIT_MSGQUEUE, 0, 0),
        (resource.RLIMIT_RTPRIO, 0, 0),
    ):
        resource.setrlimit(kind, (soft, hard))
    if "seccomp" in walls.standing:
        kernel.install_filter(syscall_filter.build_filter(os.uname().machine, os.getpid(), may_fork=may_fork))


def _can_filter() -> bool:
    return syscall_filter.is_known(os.uname().machine) and kernel.has_seccomp()


def _keep_descriptors(*wanted: int) -> None:
    for descriptor in range(_FIRST_FREE_DESCRIPTOR, _MAX_DESCRIPTORS):
        if descriptor not in wanted:
            try:
                os.close(descriptor)
            except OSError:
                continue  # was not open
