"""Many programs at once, in the order given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from birdbone.evaluate.sandbox.limits import Limits
from birdbone.evaluate.sandbox.programs import Program
from birdbone.evaluate.sandbox.results import SandboxResult
from birdbone.evaluate.sandbox.running import run_program


def run_many(
    programs: Sequence[Program],
    num_workers: int,
    *,
    limits: Limits | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[SandboxResult]:
    """Return one result a program, in their order, however they finish.

    Each program is a process tree of its own; the threads here only wait for theirs.

    Args:
        programs: what to run.
        num_workers: how many run at once; more than the machine has cores makes honest programs run out of time.
        limits: of each program.
        on_progress: called with how many of how many are done, in this thread.

    Raises:
        NoSandboxError: the machine cannot hold the programs; none was run.
    """
    with ThreadPoolExecutor(max_workers=num_workers) as pool:
        futures = [pool.submit(run_program, program, limits=limits) for program in programs]
        results = []
        try:
            for future in futures:
                results.append(future.result())
                if on_progress is not None:
                    on_progress(len(results), len(programs))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return results
