"""What a cut brought: sizes and arithmetic, counted from shapes; quality only where it was measured."""

from __future__ import annotations

from math import prod

from birdbone.compress.growth.dependency import DependencyGraph
from birdbone.compress.growth.removal import rest_of_layers
from birdbone.compress.shedding.choosing import Choice
from birdbone.core import Settings

_F16_BYTES = 2
_FLOPS_PER_WEIGHT = 2


class Weights(Settings):
    """A model by its shapes."""

    num_parameters: int
    """All parameters; a tied head counts once."""
    decoder_parameters: int
    """Those of its layers."""
    f16_bytes: int
    """All parameters in F16."""
    bytes_read_per_token: int
    """In F16: every tensor that decoding one token reads; of an embedding that is not the head, one row."""
    flops_per_token: int
    """Of the linears and the head for one token: two for each weight. Attention over the context is not in it."""
    num_layers: int
    """Layers."""
    num_attention_blocks: int
    """Layers that have attention."""
    num_feed_forward_blocks: int
    """Layers that have a feed-forward block."""


class CutEffect(Settings):
    """Before and after. Perplexities are None where they were not measured."""

    before: Weights
    """The model as it came."""
    after: Weights
    """The model after the cut."""
    perplexity_before: float | None = None
    """Measured on held-out text."""
    perplexity_after: float | None = None
    """Measured on the same text."""

    @property
    def share(self) -> float:
        """Share of the decoder's parameters that is gone."""
        return 1.0 - self.after.decoder_parameters / max(1, self.before.decoder_parameters)


def weigh_structures(graph: DependencyGraph, choice: Choice) -> CutEffect:
    """Return what a cut would bring, without making it."""
    before = weigh_graph(graph)
    rests = rest_of_layers(graph, choice.structures)
    shapes = graph.shapes_without(choice.structures)
    layers = {slot.path for layout in graph.architecture.layers for slot in layout.linears}
    gone = sum(prod(graph.shapes[f"{path}.weight"]) - prod(shapes.get(f"{path}.weight", (0,))) for path in layers)
    saved = choice.num_parameters
    after = before.model_copy(
        update={
            "num_parameters": before.num_parameters - saved,
            "decoder_parameters": before.decoder_parameters - saved,
            "f16_bytes": before.f16_bytes - _F16_BYTES * saved,
            "bytes_read_per_token": before.bytes_read_per_token - _F16_BYTES * saved,
            "flops_per_token": before.flops_per_token - _FLOPS_PER_WEIGHT * gone,
            "num_layers": sum(not rest.is_gone for rest in rests),
            "num_attention_blocks": sum(rest.has_attention for rest in rests),
            "num_feed_forward_blocks": sum(rest.has_feed_forward for rest in rests),
        }
    )
    return CutEffect(before=before, after=after)


def weigh_graph(graph: DependencyGraph) -> Weights:
    """Return sizes and arithmetic of a model, counted from the shapes of its tensors."""
    architecture = graph.architecture
    sizes = {name: prod(shape) for name, shape in graph.shapes.items()}
    embedding = sizes[f"{architecture.embedding}.weight"]
    linears = sum(slot.out_features * slot.in_features for layout in architecture.layers for slot in layout.linears)
    is_looked_up = not architecture.is_embedding_tied
    read = sum(sizes.values()) - (embedding - architecture.hidden_size if is_looked_up else 0)
    return Weights(
        num_parameters=sum(sizes.values()),
        decoder_parameters=graph.num_decoder_parameters,
        f16_bytes=_F16_BYTES * sum(sizes.values()),
        bytes_read_per_token=_F16_BYTES * read,
        flops_per_token=_FLOPS_PER_WEIGHT * (linears + architecture.vocab_size * architecture.hidden_size),
        num_layers=architecture.num_layers,
        num_attention_blocks=sum(bool(layout.attention) for layout in architecture.layers),
        num_feed_forward_blocks=sum(bool(layout.feed_forward) for layout in architecture.layers),
    )
