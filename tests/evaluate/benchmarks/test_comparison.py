"""Models are compared item by item, and only where both were asked the same; a guess is never called knowledge."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evaluate.benchmarks.texts import character_tokenizer, write_lines
from tests.evaluate.tiny import tiny_model

from birdbone.evaluate.benchmarks import BenchmarkResult, ItemScore, Question
from birdbone.evaluate.benchmarks.comparison import compare
from birdbone.evaluate.benchmarks.harness import ask
from birdbone.evaluate.benchmarks.local_items import read_items
from birdbone.evaluate.benchmarks.standing import measurement_of, standing_of
from birdbone.evaluate.benchmarks.torch_judge import TorchJudge
from birdbone.evaluate.errors import UnpairedError
from birdbone.evaluate.statistics.retention import NotInformative, Retention


def result_of(scores, *, name="piqa", chance=0.5, **changed):
    items = tuple(
        ItemScore(id=f"item-{number}", score=float(score), chance=chance, answer="0")
        for number, score in enumerate(scores)
    )
    fields = {
        "benchmark": name,
        "artefact": "b3:" + "a" * 64,
        "metric": "acc",
        "num_fewshot": 0,
        "limit": None,
        "harness": "lm-eval",
        "items_source": "b3:" + "b" * 64,
        "settings": {"engine": "torch"},
        "items": items,
    }
    return BenchmarkResult(**(fields | changed))


scores_ = st.lists(st.booleans(), min_size=10, max_size=60)


@settings(deadline=None, max_examples=40)
@given(scores_, st.randoms(use_true_random=False))
def test_swapping_the_two_mirrors_the_difference(ours, random):
    theirs = [random.random() < 0.5 for _ in ours]
    (there,) = compare([result_of(ours)], [result_of(theirs)])
    (back,) = compare([result_of(theirs)], [result_of(ours)])
    assert there.difference.value == pytest.approx(-back.difference.value)
    assert (there.flips.gained, there.flips.lost) == (back.flips.lost, back.flips.gained)
    assert there.adjusted_p_value == pytest.approx(back.adjusted_p_value)


def test_flips_show_where_equal_accuracies_hide_them():
    (row,) = compare([result_of([1, 0] * 50)], [result_of([0, 1] * 50)])
    assert row.baseline == row.candidate == 0.5
    assert (row.flips.gained, row.flips.lost) == (50, 50)


def test_what_a_guess_would_score_is_not_kept():
    (row,) = compare([result_of([1, 0] * 50)], [result_of([1] * 52 + [0] * 48)])
    assert isinstance(row.retention, NotInformative)
    (sure,) = compare([result_of([1] * 80 + [0] * 20)], [result_of([1] * 90 + [0] * 10)])
    assert isinstance(sure.retention, Retention)
    assert sure.retention.value == pytest.approx(0.75)


def test_p_values_are_adjusted_over_all_that_was_compared():
    pairs = [(result_of([1] * 40 + [0] * 20, name=name), result_of([1] * 50 + [0] * 10, name=name)) for name in "abc"]
    alone = [compare([ours], [theirs])[0].adjusted_p_value for ours, theirs in pairs]
    together = compare([ours for ours, _ in pairs], [theirs for _, theirs in pairs])
    assert [row.adjusted_p_value for row in together] == pytest.approx([3 * p for p in alone])


def test_graded_scores_are_compared_by_their_means():
    generator = np.random.default_rng(0)
    ours, theirs = generator.random(40), generator.random(40)
    (row,) = compare([result_of(ours)], [result_of(theirs)])
    assert row.flips is None
    assert row.difference.value == pytest.approx(ours.mean() - theirs.mean())


@pytest.mark.parametrize(
    "changed", [{"num_fewshot": 5}, {"metric": "acc_norm"}, {"harness": "lm-eval 0"}, {"items_source": "hub"}]
)
def test_what_was_asked_otherwise_is_not_compared(changed):
    with pytest.raises(UnpairedError, match=r"asked with another|other items"):
        compare([result_of([1, 0] * 5, **changed)], [result_of([1, 0] * 5)])


def test_a_model_of_random_weights_is_at_chance_and_no_row_says_that_it_keeps_anything(tmp_path):
    generator = np.random.default_rng(1)

    def words() -> str:
        return " ".join("".join(chr(97 + letter) for letter in generator.integers(0, 26, 4)) for _ in range(3))

    rows = [{"query": f"Question: {words()}\n", "choices": [words(), words()], "gold": n % 2} for n in range(80)]
    write_lines(tmp_path / "llmfoundry" / "piqa.jsonl", rows)
    items = read_items(tmp_path, "piqa")
    question = Question(benchmark="piqa", num_fewshot=0, limit=None)
    found = [
        result_of([], items=tuple(ask(TorchJudge(tiny_model(seed=seed), character_tokenizer()), question, items)[0]))
        for seed in (1, 2)
    ]
    assert [standing_of(result).is_above_chance for result in found] == [False, False]
    (row,) = compare([found[1]], [found[0]])
    assert isinstance(row.retention, NotInformative)


def test_a_score_becomes_a_measurement_with_its_interval():
    row = measurement_of(result_of([1] * 30 + [0] * 10))
    assert (row.name, row.value, row.sample_size) == ("benchmark.piqa", 0.75, 40)
    assert row.low < 0.75 < row.high
    graded = standing_of(result_of(np.linspace(0, 1, 30), chance=0.1))
    assert graded.low < 0.5 < graded.high
    assert graded.is_above_chance
