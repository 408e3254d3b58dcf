"""All checks run in order on a real judge, tell of their progress, and outlive an engine that gives up."""

import json
import subprocess
import sys

import pytest
from tests.evaluate.checks.judges import Wrapped, whole_judge

from birdbone.evaluate.checks import CheckResult, Extent, run_checks

WHOLE = whole_judge()
SMALL = Extent(num_requests=4, num_items_each=1, num_rounds=4, must_be_exact=True)


class Dead(Wrapped):
    """Breaks off whatever is asked."""

    def score(self, requests, *, progress=None):
        raise RuntimeError("out of memory")


def test_a_sound_judge_is_not_failed_and_the_same_seed_asks_the_same():
    told = []
    found = run_checks(WHOLE, seed=7, other=WHOLE, extent=SMALL, told=lambda *words: told.append(words))
    sound = {one.name: one.outcome for one in found if not one.name.startswith(("perturb", "generated", "stress"))}
    assert sound == dict.fromkeys(
        [
            "edges.shortest", "edges.longest", "edges.unusual_texts", "edges.repeated", "invariance.determinism",
            "invariance.company", "invariance.prefixes", "agreement.tokens", "agreement.likelihoods",
            "agreement.choices",
        ],
        "pass",
    )  # fmt: skip
    assert len({one.name for one in found}) == len(found) == 20
    assert [done for _, done, _ in told] == list(range(told[-1][2] + 1))
    again = run_checks(WHOLE, seed=7, other=WHOLE, extent=SMALL)
    assert [one for one in again if one.name != "stress.memory"] == [
        one for one in found if one.name != "stress.memory"
    ]


def test_an_engine_that_gives_up_is_a_fail_of_each_check_and_no_error():
    found = run_checks(Dead(WHOLE), seed=7, extent=SMALL)
    assert {one.outcome for one in found if one.name != "stress.concurrency"} == {"fail"}
    assert all("out of memory" in one.reason for one in found if one.outcome == "fail")


def test_a_result_is_plain_data_and_comes_back_the_same():
    for one in run_checks(WHOLE, seed=7, extent=SMALL):
        text = json.dumps(one.model_dump(mode="json"), allow_nan=False)
        assert CheckResult.model_validate_json(text) == one


def test_the_checks_load_without_torch():
    code = "import sys, birdbone.evaluate.checks; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_figure_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        CheckResult(name="x", outcome="pass", reason="", figures={"a": float("nan")})
