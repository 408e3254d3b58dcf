"""A model agrees with itself in another engine and loaded again, and not with another model."""

from dataclasses import replace

import pytest
import torch
from tests.evaluate.checks.judges import (
    CONTEXT,
    HatesChange,
    IgnoresCase,
    NoisyByPlace,
    new_judge,
    whole_judge,
    write_judge,
)

from birdbone.evaluate.benchmarks.llamacpp_judge import LlamaCppJudge
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.checks import Extent, generate_items, run_checks
from birdbone.evaluate.checks.agreement import check_same_choices, check_same_likelihoods, check_same_tokens
from birdbone.evaluate.checks.edges import UNUSUAL_TEXTS
from birdbone.evaluate.checks.probes import draw_requests
from birdbone.models import load_model, save_model
from birdbone.models.llamacpp import open_engine

WHOLE = whole_judge()
REQUESTS = draw_requests(WHOLE, seed=5, count=8)
ITEMS = generate_items(seed=5, num_each=2)
TEXTS = [*UNUSUAL_TEXTS.values(), "A bird's bone."]


def outcomes(other, tolerance_nats):
    found = [
        check_same_tokens(WHOLE, other, TEXTS),
        check_same_likelihoods(WHOLE, other, REQUESTS, tolerance_nats=tolerance_nats),
        check_same_choices(WHOLE, other, ITEMS, tolerance_nats=tolerance_nats),
    ]
    return [one.outcome for one in found], found


def test_a_model_agrees_with_its_file_in_llama_cpp(tmp_path):
    write_judge(WHOLE, tmp_path / "tiny.gguf")
    with open_engine(tmp_path / "tiny.gguf", num_ctx=CONTEXT, num_threads=1) as engine:
        found = run_checks(
            LlamaCppJudge(engine),
            seed=5,
            other=WHOLE,
            extent=Extent(num_requests=6, num_items_each=1, num_rounds=4, tolerance_nats=0.02, agreement_nats=0.02),
        )
    failed = {one.name: one.reason for one in found if one.outcome == "fail" and not one.name.startswith("perturb")}
    assert failed == {}
    assert {"agreement.tokens", "agreement.likelihoods", "agreement.choices"} <= {one.name for one in found}


def test_a_model_agrees_to_the_bit_with_itself_saved_and_loaded_again(tmp_path):
    save_model(WHOLE.model, WHOLE.tokenizer, tmp_path)
    loaded = load_model(str(tmp_path), dtype=torch.float32)
    assert outcomes(TorchJudge(loaded.model, loaded.tokenizer), 0.0)[0] == ["pass", "pass", "pass"]


def test_another_model_is_told_apart_and_where():
    words, found = outcomes(new_judge(seed=1), 0.05)
    assert words[:2] == ["pass", "fail"]
    other = new_judge(seed=1)
    gaps = [
        abs(mine.logprob - theirs.logprob)
        for mine, theirs in zip(WHOLE.score(REQUESTS), other.score(REQUESTS), strict=True)
    ]
    assert found[1].figures["largest_gap_nats"] == pytest.approx(max(gaps))
    assert found[1].figures["largest_gap_request"] == gaps.index(max(gaps))


def test_the_contrary_opinion_is_told_apart_by_its_choices():
    found = check_same_choices(WHOLE, HatesChange(WHOLE, lambda _: True), ITEMS, tolerance_nats=0.05)
    assert (found.outcome, found.figures["share_alike"]) == ("fail", 0)
    assert found.figures["num_faults"] == found.num_items == len(ITEMS)


def test_another_way_to_read_is_told_apart_by_the_text():
    found = check_same_tokens(WHOLE, IgnoresCase(WHOLE), ["a bird", "A bird"])
    assert found.outcome == "fail"
    assert found.reason == "'A bird' is 6 tokens and 6; number 0 is the first to differ."


def test_a_difference_below_the_tolerance_is_none_and_one_above_is_named():
    found = check_same_likelihoods(WHOLE, NoisyByPlace(WHOLE), REQUESTS, tolerance_nats=0.08)
    assert found.outcome == "pass"
    assert found.figures["largest_gap_request"] == len(REQUESTS) - 1
    assert check_same_likelihoods(WHOLE, NoisyByPlace(WHOLE), REQUESTS, tolerance_nats=1e-3).outcome == "fail"


def test_a_near_tie_is_a_warning():
    item = replace(ITEMS[0], choices=(" bird", " bird"))
    found = check_same_choices(NoisyByPlace(WHOLE), Reversed(WHOLE), [item], tolerance_nats=0.1)
    assert found.outcome == "warn"
    assert found.reason == "0 of 1 items are answered alike. The others are near ties."
    sure = check_same_choices(NoisyByPlace(WHOLE), Reversed(WHOLE), [item], tolerance_nats=1e-3)
    assert sure.outcome == "fail"


class Reversed(NoisyByPlace):
    """Is noisy from the other end."""

    def score(self, requests, *, progress=None):
        return super().score(requests[::-1])[::-1]


def test_nothing_compared_is_skipped():
    assert check_same_tokens(WHOLE, WHOLE, []).outcome == "skipped"
    assert check_same_likelihoods(WHOLE, WHOLE, [], tolerance_nats=0).outcome == "skipped"
    assert (
        check_same_choices(WHOLE, WHOLE, [replace(ITEMS[0], context="a" * 500)], tolerance_nats=0).outcome == "skipped"
    )
