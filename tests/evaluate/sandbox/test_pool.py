"""Many programs come back in their order, one result each."""

from __future__ import annotations

import pytest

from birdbone.evaluate.sandbox import Limits, Program, run_many

pytestmark = pytest.mark.usefixtures("sandbox")


def test_results_come_in_the_order_of_the_programs_with_progress(limits: Limits) -> None:
    codes = ["import time\ntime.sleep(0.5)\nprint(0)", "print(1)", "1 / 0", "print(3)"]
    seen: list[tuple[int, int]] = []
    results = run_many(
        [Program(code=code) for code in codes], 3, limits=limits, on_progress=lambda done, of: seen.append((done, of))
    )
    assert [result.stdout for result in results] == ["0\n", "1\n", "", "3\n"]
    assert [result.ending for result in results] == ["passed", "passed", "failed", "passed"]
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_no_program_gives_no_result() -> None:
    assert run_many([], 1) == []


def test_what_the_progress_raises_comes_out(limits: Limits) -> None:
    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_many([Program(code="pass")] * 3, 1, limits=limits, on_progress=stop)
