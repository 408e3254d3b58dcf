"""The detector on the tiny trained model: what was only written otherwise passes, what is broken does not."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch

from birdbone.data import TooLittleTextError, load_corpus
from birdbone.evaluate.damage import DamageVerdict, Tolerance
from birdbone.evaluate.damage.detection import Extent, find_damage
from birdbone.evaluate.damage.sides import Side, side_of
from birdbone.evaluate.divergence import model_logits
from birdbone.models import LoadedModel

TEXTS = load_corpus().heldout[:30]
EXTENT = Extent(window=64, num_windows=16)


@pytest.fixture(autouse=True)
def _without_gradient():
    with torch.no_grad():
        yield


@pytest.fixture
def baseline(tiny_model: LoadedModel) -> Side:
    """The tiny model as it is; it remembers what it said, as each case asks it the same."""
    logits, said = model_logits(copy.deepcopy(tiny_model.model)), {}

    def remembering(window_T: np.ndarray) -> list[torch.Tensor]:
        return said.setdefault(window_T.tobytes(), list(logits(window_T)))

    return replace(side_of(tiny_model), logits=remembering)


def verdict(baseline: Side, candidate: Side, nats: float = 0.01) -> DamageVerdict:
    return find_damage(baseline, candidate, TEXTS, tolerance=Tolerance(nats=nats), extent=EXTENT)


def store_in_16_bits(model: torch.nn.Module) -> None:
    for weight in model.parameters():
        weight.copy_(weight.bfloat16().float())


def permute_neurons(model: torch.nn.Module) -> None:
    for layer in model.model.layers:
        order = torch.randperm(len(layer.mlp.up_proj.weight), generator=torch.Generator().manual_seed(0))
        for linear in (layer.mlp.up_proj, layer.mlp.gate_proj):
            linear.weight.copy_(linear.weight[order])
        layer.mlp.down_proj.weight.copy_(layer.mlp.down_proj.weight[:, order])


def add_noise(model: torch.nn.Module) -> None:
    weight = model.model.layers[1].mlp.down_proj.weight
    weight += weight.std() * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))


def kill_a_head(model: torch.nn.Module) -> None:
    model.model.layers[0].self_attn.o_proj.weight[:, :16] = 0


def permute_rows(model: torch.nn.Module) -> None:
    weight = model.model.layers[0].mlp.up_proj.weight
    weight.copy_(weight.roll(1, dims=0))


def turn_rope(model: torch.nn.Module) -> None:
    model.model.rotary_emb.inv_freq /= 2


@pytest.mark.parametrize("change", [lambda _: None, store_in_16_bits, permute_neurons])
def test_a_model_that_was_only_written_otherwise_is_harmless(
    baseline: Side, tiny_model: LoadedModel, change: Callable[[torch.nn.Module], None]
) -> None:
    change(tiny_model.model)
    found = verdict(baseline, side_of(tiny_model))
    assert found.outcome == "harmless"
    assert found.is_accepted
    assert found.hint is None
    assert found.num_tokens == 1024
    assert found.same_top1 > 0.95


@pytest.mark.parametrize(
    ("change", "hint"),
    [(add_noise, "layer"), (kill_a_head, "layer"), (permute_rows, "layer"), (turn_rope, "positions")],
)
def test_a_broken_model_is_damaged_and_the_hint_names_where(
    baseline: Side, tiny_model: LoadedModel, change: Callable[[torch.nn.Module], None], hint: str
) -> None:
    change(tiny_model.model)
    found = verdict(baseline, side_of(tiny_model))
    assert found.outcome == "damaged"
    assert found.hint.kind == hint
    assert "divergence" in {each.rule for each in found.decisive}


def test_the_same_change_is_harmless_to_who_allows_more(baseline: Side, tiny_model: LoadedModel) -> None:
    kill_a_head(tiny_model.model)
    assert verdict(baseline, side_of(tiny_model), nats=10.0).outcome == "harmless"


def renumbered(side: Side, there: np.ndarray) -> Side:
    back = np.argsort(there)
    return replace(
        side,
        encode=lambda text: there[side.encode(text)].tolist(),
        decode=lambda tokens: side.decode(back[list(tokens)].tolist()),
        prefix_token=int(there[side.prefix_token]),
    )


def test_a_vocabulary_renumbered_on_both_sides_costs_nothing(baseline: Side, tiny_model: LoadedModel) -> None:
    weight = tiny_model.model.get_input_embeddings().weight
    there = np.random.default_rng(0).permutation(len(weight))
    weight[torch.from_numpy(there)] = weight.clone()
    found = verdict(baseline, renumbered(side_of(tiny_model), there))
    assert found.outcome == "harmless"
    assert {each.rule for each in found.findings} == {"text_loss", "round_trip"}
    assert found.findings[0].value == pytest.approx(0, abs=1e-4)
    assert found.same_top1 is None
    assert found.num_tokens <= EXTENT.num_tokens


def test_ids_shifted_by_one_are_damage_by_the_tokenizer(baseline: Side, tiny_model: LoadedModel) -> None:
    there = np.arange(baseline.vocab_size)
    there[300:] = np.roll(there[300:], 1)
    found = verdict(baseline, renumbered(side_of(tiny_model), there))
    assert found.outcome == "damaged"
    assert found.hint.kind == "tokenizer"
    assert "tokenizer" in found.in_words


def test_text_that_does_not_come_back_is_damage_though_nothing_else_is(baseline: Side, tiny_model: LoadedModel) -> None:
    side = side_of(tiny_model)
    found = verdict(baseline, replace(side, decode=lambda tokens: side.decode(tokens).replace("e", "")))
    assert [each.rule for each in found.decisive] == ["round_trip"]
    assert found.outcome == "damaged"
    assert found.hint.kind == "tokenizer"


def test_logits_of_another_width_are_compared_by_the_loss_on_the_text(baseline: Side, tiny_model: LoadedModel) -> None:
    side = side_of(tiny_model)

    def padded(window_T: np.ndarray) -> list[torch.Tensor]:
        return [torch.nn.functional.pad(logits_CV, (0, 8), value=-1e4) for logits_CV in side.logits(window_T)]

    found = verdict(baseline, replace(side, logits=padded, vocab_size=side.vocab_size + 8))
    assert found.outcome == "harmless"
    assert found.findings[0].rule == "text_loss"
    assert found.findings[0].value == pytest.approx(0, abs=1e-5)


def test_a_verdict_is_a_gates_measurement(baseline: Side, tiny_model: LoadedModel) -> None:
    same = {each.name: each for each in verdict(baseline, side_of(tiny_model)).measurements(artefact="b3:0")}
    turn_rope(tiny_model.model)
    other = {each.name: each for each in verdict(baseline, side_of(tiny_model)).measurements(artefact="b3:1")}
    assert (same["damage_rejected"].value, other["damage_rejected"].value) == (0.0, 1.0)
    assert same["damage_divergence"].unit == "nat/token"
    assert other["damage_divergence"].low > 0.01


def test_too_little_text_is_one_clear_error(baseline: Side, tiny_model: LoadedModel) -> None:
    with pytest.raises(TooLittleTextError):
        find_damage(baseline, side_of(tiny_model), ["A bird."], extent=EXTENT)


def test_progress_ends_at_all_windows(baseline: Side, tiny_model: LoadedModel) -> None:
    told: list[tuple[int, int]] = []
    find_damage(
        baseline, side_of(tiny_model), TEXTS, extent=EXTENT, progress=lambda done, total: told.append((done, total))
    )
    assert told == [(number, 16) for number in range(1, 17)]


def test_a_short_context_is_read_in_more_and_shorter_windows() -> None:
    assert Extent.within(100) == Extent(window=100, num_windows=81)
    assert Extent.within(4096) == Extent()
    assert Extent().num_tokens == 8192
