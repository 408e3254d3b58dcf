"""Two real models measured in turns, each by a worker of this process."""

from __future__ import annotations

import pytest
from tests.evaluate.checks.judges import whole_judge, write_judge
from tests.evaluate.cost.in_process import Workshop

from birdbone.evaluate.benchmarks.opening import find_candidate
from birdbone.evaluate.cost import CostPlan, CostReport
from birdbone.evaluate.cost.comparison import compare_costs
from birdbone.evaluate.cost.measuring import measure_costs

PLAN = CostPlan(prompt_tokens=(3, 6), new_tokens=2, repeats=2, num_warmups=1, num_loads=2, profiled_tokens=1)


@pytest.fixture(scope="module")
def measured(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[tuple[CostReport, ...], list[tuple[str, str]], list[tuple[int, int]]]:
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    write_judge(whole_judge(), path)
    candidates = [find_candidate(str(path), engine=engine, dtype="float32") for engine in ("llama.cpp", "torch")]
    workshop, told = Workshop([]), []
    reports = measure_costs(
        candidates,
        num_threads=1,
        plan=PLAN,
        told=lambda done, total: told.append((done, total)),
        open_worker=workshop.open,
    )
    return reports, workshop.log, told


def test_both_have_every_turn_and_only_torch_a_profile(measured) -> None:
    in_llama, in_torch = measured[0]
    for report in (in_llama, in_torch):
        assert {length: len(turns) for length, turns in report.prefills.items()} == {3: 2, 6: 2}
        assert (len(report.decodes), len(report.loads)) == (2, 2)
        assert [turn.num_tokens for turn in report.decodes] == [2, 2]
        flops = report.figure("flops_per_token")
        assert flops is not None
        assert "equal to torch's FlopCounterMode" in flops.method
    assert (in_llama.engine, in_llama.dtype, in_torch.engine, in_torch.dtype) == (
        "llama.cpp",
        None,
        "torch",
        "float32",
    )
    assert (set(in_llama.profiles), set(in_torch.profiles)) == (set(), {"decode", "prefill"})
    assert "operators" in in_llama.not_measured
    assert in_torch.profiles["prefill"].num_tokens == 6
    assert in_llama.artefact == in_torch.artefact


def test_memory_is_asked_for_before_the_probe_and_the_profile_take_some(measured) -> None:
    questions = [question for question, _ in measured[1]]
    last_turn = max(place for place, question in enumerate(questions) if question in ("prefill", "decode"))
    first_memory, first_probe = questions.index("memory"), questions.index("probe")
    assert last_turn < first_memory < first_probe < questions.index("profile")


def test_who_is_asked_first_changes_from_round_to_round(measured) -> None:
    engines = [engine for question, engine in measured[1] if question == "decode"]
    assert engines == ["torch", "llama.cpp", "llama.cpp", "torch", "torch", "llama.cpp"]  # the first round warms up


def test_progress_ends_where_it_said_that_it_would(measured) -> None:
    told = measured[2]
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert {total for _, total in told} == {len(told)}


def test_the_two_can_be_compared(measured) -> None:
    in_llama, in_torch = measured[0]
    ratios = {row.name: row.ratio for row in compare_costs(in_torch, in_llama).ratios}
    assert ratios["size"] == ratios["flops_per_token"] == 1.0
    assert ratios["cache_bytes_per_token"] == 2.0  # float32 beside F16
