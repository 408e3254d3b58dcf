"""Taking rows out of the embedding and the head, with the special token ids that the configuration names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from birdbone.models.architecture import Architecture
from birdbone.models.cutting import selected_rows
from birdbone.models.errors import SurgeryError

_SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")


def plan_vocabulary(model: PreTrainedModel, architecture: Architecture, vocabulary: Sequence[int]) -> list[int]:
    """Return the token ids that stay, in rising order. Changes nothing.

    Raises:
        SurgeryError: none stays, an id has no row, or a special token of the configuration would lose its row.
    """
    kept = sorted(set(vocabulary))
    if not kept:
        raise SurgeryError("No token would be left in the vocabulary.")
    outside = [token for token in kept if not 0 <= token < architecture.vocab_size]
    if outside:
        raise SurgeryError(f"Token {outside[0]} has no row: ids go from 0 to {architecture.vocab_size - 1}.")
    for config in _configs(model):
        for key, ids in _special_ids(config, architecture.vocab_size):
            lost = sorted(set(ids) - set(kept))
            if lost:
                raise SurgeryError(f"Token {lost[0]} is the model's {key} and must stay.", token_id=lost[0])
    return kept


def cut_vocabulary(model: PreTrainedModel, architecture: Architecture, kept: list[int]) -> None:
    """Keep these rows of the embedding and of the head, tied or not, and let the special ids follow, in place."""
    embedding, head = model.get_input_embeddings(), model.get_output_embeddings()
    assert isinstance(embedding, nn.Embedding)
    assert isinstance(head, nn.Linear)
    new_ids = {old: new for new, old in enumerate(kept)}
    embedding.weight, tied = selected_rows(embedding.weight, kept), embedding.weight
    head.weight = embedding.weight if head.weight is tied else selected_rows(head.weight, kept)
    if head.bias is not None:
        head.bias = selected_rows(head.bias, kept)
    embedding.num_embeddings = head.out_features = len(kept)
    embedding.padding_idx = None if embedding.padding_idx is None else new_ids.get(embedding.padding_idx)
    for module in (model, model.get_submodule(architecture.embedding.rpartition(".")[0])):
        if "vocab_size" in vars(module):
            module.vocab_size = len(kept)
    for config in _configs(model):
        for key, _ in list(_special_ids(config, architecture.vocab_size)):
            setattr(config, key, _renamed(getattr(config, key), new_ids))
    model.config.vocab_size = len(kept)


def _configs(model: PreTrainedModel) -> list[Any]:
    return [config for config in (model.config, getattr(model, "generation_config", None)) if config is not None]


def _special_ids(config: Any, vocab_size: int) -> Iterator[tuple[str, list[int]]]:
    for key in _SPECIAL_IDS:
        value = getattr(config, key, None)
        ids = value if isinstance(value, list) else [value]
        found = [token for token in ids if token is not None and 0 <= token < vocab_size]
        if found:
            yield key, found


def _renamed(value: int | list[int], new_ids: dict[int, int]) -> int | list[int]:
    return [new_ids.get(token, token) for token in value] if isinstance(value, list) else new_ids[value]
