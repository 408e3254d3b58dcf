"""A rule is read as it is written, written as it is read, and refused in one clear sentence."""

import numpy as np
import pytest

from birdbone.vault.errors import BadStrategyError
from birdbone.vault.merging.maths import merge_dare, merge_linear, merge_slerp, merge_ties
from birdbone.vault.merging.strategies import merge_by, parse_strategy

OURS, THEIRS, BASE = (np.random.default_rng(seed).standard_normal((4, 5), np.float32) for seed in range(3))


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("*=ours", "*=ours"),
        ("model.layers.*.mlp.*=theirs", "model.layers.*.mlp.*=theirs"),
        ("a=base", "a=base"),
        ("*=linear:weight=0.3/0.7", "*=linear:weight=0.3/0.7"),
        ("*=slerp:t=0.25", "*=slerp:t=0.25"),
        ("*=ties:density=0.5,weight=0.5", "*=ties:weight=0.5,density=0.5"),
        ("*=ties: weight = 1 , lambda=0.5, normalize=false", "*=ties:weight=1.0,lambda=0.5,normalize=false"),
        ("*=dare_ties:weight=0.5,density=0.2/0.9,seed=7", "*=dare_ties:weight=0.5,density=0.2/0.9,seed=7"),
        ("*=dare_linear:weight=0.5,rescale=density", "*=dare_linear:weight=0.5,rescale=density"),
        ("*=dare_linear:weight=0.5,rescale=true", "*=dare_linear:weight=0.5"),
        ("*=della:weight=0.5,density=0.5,epsilon=0.1,rescale=false", None),
    ],
)
def test_a_rule_is_written_as_it_was_read(text, written):
    rule = parse_strategy(text)
    assert written is None or rule.text == written
    assert parse_strategy(rule.text) == rule


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "PATTERN=KIND"),
        ("ours", "PATTERN=KIND"),
        ("=ours", "PATTERN=KIND"),
        ("*=", "PATTERN=KIND"),
        ("*=ties:", "PATTERN=KIND"),
        ("*=mine", "no strategy is called 'mine'; there are 'ours', 'theirs'"),
        ("*=ours:weight=1", "weight"),
        ("*=linear", "weight: Field required"),
        ("*=slerp:t=1.5", "less than or equal to 1"),
        ("*=slerp:t=half", "t: Input should be a valid number"),
        ("*=linear:weight=nan", "finite"),
        ("*=linear:weight=1/2/3", "weight"),
        ("*=linear:weight=1,weight=2", "'weight=2' is not a setting"),
        ("*=linear:weight", "'weight' is not a setting"),
        ("*=linear:kind=ours,weight=1", "'kind=ours' is not a setting"),
        ("*=ties:weight=1,density=-1", "greater than or equal to 0"),
        ("*=ties:weight=1,scale=2", "scale: Extra inputs are not permitted"),
        ("*=ties:weight=1,rescale=l2", "rescale"),
        ("*=dare_ties:weight=1,seed=-1", "seed"),
    ],
)
def test_a_bad_rule_is_one_clear_error(text, words):
    with pytest.raises(BadStrategyError) as caught:
        parse_strategy(text)
    assert words in caught.value.message
    assert (caught.value.code, caught.value.kind) == ("vault.bad_strategy", "invalid")
    assert "\n" not in caught.value.message


def test_a_pattern_is_a_shell_pattern_and_case_counts():
    rule = parse_strategy("model.layers.[01].*=ours")
    assert rule.matches("model.layers.1.mlp.up")
    assert not rule.matches("model.layers.2.mlp.up", "Model.layers.1.mlp.up")


def test_a_strategy_calls_the_arithmetic_that_it_names():
    def merged(text):
        return merge_by(parse_strategy(f"*={text}").strategy, OURS, THEIRS, base=BASE, name="w")

    sides = [OURS, THEIRS]
    np.testing.assert_array_equal(merged("linear:weight=0.3/0.7"), merge_linear(sides, weights=[0.3, 0.7]))
    np.testing.assert_array_equal(merged("slerp:t=0.3"), merge_slerp(*sides, t=0.3))
    np.testing.assert_array_equal(
        merged("ties:weight=0.5,density=0.4/0.6,lambda=2"),
        merge_ties(BASE, sides, weights=[0.5, 0.5], densities=[0.4, 0.6], scale=2),
    )
    for text, consensus in (("dare_ties", "sum"), ("dare_linear", None)):
        expected = merge_dare(
            BASE, sides, generator=np.random.default_rng(), weights=[1, 1], densities=[1, 1], consensus=consensus
        )
        np.testing.assert_array_equal(merged(f"{text}:weight=1"), expected)


def test_chance_is_the_same_each_time_and_another_for_each_tensor_and_seed():
    def merged(name, seed):
        rule = parse_strategy(f"*=dare_linear:weight=1,density=0.5,seed={seed}")
        return merge_by(rule.strategy, OURS, THEIRS, base=BASE, name=name).tobytes()

    assert merged("a", 0) == merged("a", 0)
    assert len({merged("a", 0), merged("b", 0), merged("a", 1)}) == 3
