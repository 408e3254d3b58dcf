"""Namespaces, and a root of one's own in which only the standard library, system libraries and a small tmpfs lie."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path

from birdbone.evaluate.sandbox.inside import kernel

SCRATCH = "/tmp"
DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom")

_ISOLATED = kernel.CLONE_NEWNS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
_MOUNT_POINTS = ("/mnt", "/media", "/srv", "/opt", "/tmp", "/var/tmp")


def readable_paths() -> list[str]:
    """Return the folders that Python needs to import its standard library."""
    python = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), str(Path(sys.base_prefix, "lib"))]
    wanted = dict.fromkeys(["/lib", "/lib64", "/usr/lib", "/usr/lib64", *python])
    return [path for path in wanted if Path(path).is_dir()]


def enter() -> bool:
    """Enter namespaces for mounts, processes, network and IPC; return whether that needed a user namespace.

    The process id changes for children only. Without root a user namespace comes along, in which this user is the
    only one.

    Raises:
        OSError: the kernel, a container or a policy forbids it.
    """
    if os.geteuid() == 0:
        try:
            kernel.unshare(_ISOLATED)
        except OSError:
            pass  # root in a container often lacks the right; a user namespace may still be allowed
        else:
            return False
    user, group = os.geteuid(), os.getegid()
    kernel.unshare(_ISOLATED | kernel.CLONE_NEWUSER)
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
    Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def change_root(*, owner: int, scratch_bytes: int) -> None:
    """Leave the machine's files behind for a root that holds `readable_paths`, a few devices and a scratch folder.

    Args:
        owner: user and group id to whom the scratch folder belongs.
        scratch_bytes: how much fits in it; it may hold 1,000 files.

    Raises:
        OSError: a mount was refused.
    """
    sources = readable_paths()
    root = _mount_point(sources)
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", root, "tmpfs", flags=kernel.MS_NOSUID | kernel.MS_NODEV, options="size=1m,mode=755")
    os.umask(0o022)
    for source in sources:
        _show(source, root)
    _make_mount_points(root)
    kernel.freeze_mounts(root)
    for device in DEVICES:  # after the freeze, which forbids devices
        kernel.mount(device, root + device, flags=kernel.MS_BIND)
    _add_scratch(root, owner=owner, scratch_bytes=scratch_bytes)
    os.chdir(root)
    kernel.pivot_root_here()


def _mount_point(sources: list[str]) -> str:
    for point in _MOUNT_POINTS:
        if Path(point).is_dir() and not any(Path(source).is_relative_to(point) for source in sources):
            return point
    raise OSError("no folder to mount a root on")


def _show(source: str, root: str) -> None:
    target = Path(root + source)
    if os.path.lexists(target):
        return  # below one that is shown already
    target.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    if Path(source).is_symlink():
        target.symlink_to(Path(source).readlink())
        return
    target.mkdir(mode=0o755)
    kernel.mount(source, str(target), flags=kernel.MS_BIND | kernel.MS_REC)


def _make_mount_points(root: str) -> None:
    Path(root + SCRATCH).mkdir()
    Path(root, "dev").mkdir()
    for device in DEVICES:
        Path(root + device).touch()


def _add_scratch(root: str, *, owner: int, scratch_bytes: int) -> None:
    flags = kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC
    options = f"size={scratch_bytes},nr_inodes=1000,mode=700,uid={owner},gid={owner}"
    kernel.mount("tmpfs", root + SCRATCH, "tmpfs", flags=flags, options=options)
