"""What a program may use up."""

from __future__ import annotations

from pydantic import Field

from birdbone.core import Settings


class Limits(Settings):
    """Limits of one program. Beyond one of them it fails; it never takes more."""

    wall_seconds: float = Field(default=6.0, gt=0, le=600)
    """Time from start to verdict, the start of the interpreter included."""
    cpu_seconds: int = Field(default=5, ge=1, le=600)
    """Processor time of each process."""
    memory_bytes: int = Field(default=512 * 2**20, ge=64 * 2**20)
    """Address space of each process; Python itself takes about 40 MB of it."""
    file_bytes: int = Field(default=2**20, ge=0)
    """Length of each file that it writes."""
    scratch_bytes: int = Field(default=8 * 2**20, ge=4096)
    """Size of the one folder in which it may write; kept in memory, gone afterwards."""
    num_descriptors: int = Field(default=32, ge=8, le=200)
    """Open files of each process."""
    num_processes: int = Field(default=8, ge=1, le=1000)
    """Processes and threads together, the first included."""
    output_bytes: int = Field(default=64 * 1024, ge=0)
    """Length of what it prints, stdout and stderr together; beyond, it is killed."""
