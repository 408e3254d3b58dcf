"""What units do on text, in one streamed pass. Shapes: U units, T tokens, N windows, C token classes, P buckets.

Theory of operation. Of each layer a few sums are kept, none of them longer than the layer's units times a constant: the
first four powers (mean, variance, kurtosis), the largest value, the sum by class of token, and a *sketch*. The sketch
adds every token's activations, with a random sign, to one of P buckets (a count sketch), so that the inner product of
two units' rows is an unbiased estimate of their inner product over all tokens, and exact where each token has a bucket
of its own. Signs are summed too, so that the mean can be taken out afterwards, exactly. Correlations between any two
units of any two layers can then be read from the sketches; the matrix of all of them is never made.
Sums of two stretches of text add up to the sums of both, so halves of the text cost nothing beside the whole.

A window's first token is the attention sink, thousands of times louder than others in some units: it is left out of all
sums but the one that says how loud it is.
Source of the sketch: Charikar, Chen and Farach-Colton 2002, "Finding frequent items in data streams", sec. 3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from birdbone.compress.clusters.token_classes import TOKEN_CLASSES
from birdbone.compress.clusters.units import num_units, watched_linear
from birdbone.compress.config import UnitKind
from birdbone.compress.errors import NoCalibrationDataError, NonFiniteStatisticsError
from birdbone.models import Architecture, LayerLayout


@dataclass(frozen=True, slots=True, kw_only=True)
class ActivationSums:
    """Sums over tokens of what a layer's units put out; of a head, of the norm of its output.

    Attributes:
        power_4U: sums of x, x², x³ and x⁴.
        absolute_U: sum of |x|.
        peak_U: largest |x|.
        first_U: sum of |x| over the windows' first tokens, which count nowhere else.
        class_CU: sum of |x| over the tokens of each class.
        class_C: tokens of each class.
        sketch_PU: signed sums over the tokens of each bucket.
        sign_P: sums of the signs.
    """

    num_tokens: int
    num_windows: int
    power_4U: Float[Tensor, "4 U"]
    absolute_U: Float[Tensor, " U"]
    peak_U: Float[Tensor, " U"]
    first_U: Float[Tensor, " U"]
    class_CU: Float[Tensor, "C U"]
    class_C: Float[Tensor, " C"]
    sketch_PU: Float[Tensor, "P U"]
    sign_P: Float[Tensor, " P"]


def add_sums(one: ActivationSums, other: ActivationSums) -> ActivationSums:
    """Return the sums over both stretches of text, of one layer."""
    return ActivationSums(
        num_tokens=one.num_tokens + other.num_tokens,
        num_windows=one.num_windows + other.num_windows,
        power_4U=one.power_4U + other.power_4U,
        absolute_U=one.absolute_U + other.absolute_U,
        peak_U=torch.maximum(one.peak_U, other.peak_U),
        first_U=one.first_U + other.first_U,
        class_CU=one.class_CU + other.class_CU,
        class_C=one.class_C + other.class_C,
        sketch_PU=one.sketch_PU + other.sketch_PU,
        sign_P=one.sign_P + other.sign_P,
    )


def sum_activations(
    x_NTU: Float[Tensor, "N T U"],
    class_NT: Int[Tensor, "N T"],
    *,
    sign_NT: Float[Tensor, "N T"],
    bucket_NT: Int[Tensor, "N T"],
    num_buckets: int,
) -> ActivationSums:
    """Return the sums of whole windows.

    Args:
        sign_NT: 1 or -1 for each token.
        bucket_NT: the bucket of each token, below `num_buckets`.
    """
    x_TU, class_T, sign_T = x_NTU[:, 1:].flatten(0, 1), class_NT[:, 1:].flatten(), sign_NT[:, 1:].flatten()
    bucket_T = bucket_NT[:, 1:].flatten()
    size_TU, square_TU = x_TU.abs(), x_TU.square()
    by_class_CU = x_TU.new_zeros(len(TOKEN_CLASSES), x_TU.shape[1]).index_add_(0, class_T, size_TU)
    sketch_PU = x_TU.new_zeros(num_buckets, x_TU.shape[1]).index_add_(0, bucket_T, sign_T[:, None] * x_TU)
    powers = (x_TU, square_TU, square_TU * x_TU, square_TU.square())
    return ActivationSums(
        num_tokens=len(x_TU),
        num_windows=len(x_NTU),
        power_4U=torch.stack([power_TU.sum(dim=0, dtype=torch.float64) for power_TU in powers]),
        absolute_U=size_TU.sum(dim=0, dtype=torch.float64),
        peak_U=size_TU.amax(dim=0).double() if len(x_TU) else x_NTU.new_zeros(x_NTU.shape[-1]).double(),
        first_U=x_NTU[:, 0].abs().sum(dim=0, dtype=torch.float64),
        class_CU=by_class_CU.double(),
        class_C=class_T.bincount(minlength=len(TOKEN_CLASSES)).double(),
        sketch_PU=sketch_PU,
        sign_P=x_TU.new_zeros(num_buckets).index_add_(0, bucket_T, sign_T),
    )


def collect_activations(
    model: PreTrainedModel,
    architecture: Architecture,
    windows_NT: Int[Tensor, "N T"],
    *,
    units: UnitKind,
    layers: Sequence[LayerLayout],
    class_V: Int[Tensor, " V"],
    num_buckets: int,
    generator: torch.Generator,
    batch_size: int = 4,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> tuple[dict[int, ActivationSums], dict[int, ActivationSums]]:
    """Return the sums of each layer, by its index, over the first half of the windows and over the second.

    Args:
        windows_NT: calibration tokens, at least two windows of two. The model is left unchanged.
        class_V: class of each token of the vocabulary, an index in `TOKEN_CLASSES`.
        generator: of the signs.
        progress: called with windows done and windows in all after each batch.

    Raises:
        NoCalibrationDataError: fewer than two windows, or windows of one token.
        NonFiniteStatisticsError: a unit overflows (names the layer).
    """
    if len(windows_NT) < 2 or windows_NT.shape[1] < 2:
        raise NoCalibrationDataError("Clusters need at least two calibration windows of two tokens.")
    sign_NT = torch.randint(0, 2, windows_NT.shape, generator=generator).float() * 2 - 1
    bucket_NT = _buckets(windows_NT, num_buckets)
    middle, done, halves = (len(windows_NT) + 1) // 2, 0, []
    for half in (slice(0, middle), slice(middle, len(windows_NT))):
        found: dict[int, ActivationSums] = {}
        for start in range(half.start, half.stop, batch_size):
            rows = slice(start, min(start + batch_size, half.stop))
            reader = _Reader(class_V[windows_NT[rows]], sign_NT[rows], bucket_NT[rows], num_buckets)
            _run(model, architecture, windows_NT[rows], units, layers, found, reader)
            done += rows.stop - rows.start
            progress(done, len(windows_NT))
        halves.append(found)
    _check_finite([*halves[0].items(), *halves[1].items()])
    return halves[0], halves[1]


@dataclass(frozen=True, slots=True)
class _Reader:
    """What is known of each token of a batch."""

    class_BT: Tensor
    sign_BT: Tensor
    bucket_BT: Tensor
    num_buckets: int

    def sums(self, x_BTU: Tensor) -> ActivationSums:
        return sum_activations(
            x_BTU, self.class_BT, sign_NT=self.sign_BT, bucket_NT=self.bucket_BT, num_buckets=self.num_buckets
        )


def _buckets(windows_NT: Tensor, num_buckets: int) -> Tensor:
    """Deal the tokens out in turn, a window's first token left aside."""
    num_windows, num_tokens = windows_NT.shape
    dealt = torch.arange(num_windows * (num_tokens - 1)).reshape(num_windows, -1) % num_buckets
    return torch.cat([torch.zeros(num_windows, 1, dtype=dealt.dtype), dealt], dim=1)


@torch.no_grad()
def _run(
    model: PreTrainedModel,
    architecture: Architecture,
    batch_BT: Tensor,
    units: UnitKind,
    layers: Sequence[LayerLayout],
    found: dict[int, ActivationSums],
    reader: _Reader,
) -> None:
    def watch(layer: LayerLayout) -> RemovableHandle:
        count = num_units(layer, architecture, units)

        def add(_module: object, inputs: tuple[Tensor, ...]) -> None:
            # Some families hand activations on with windows and tokens in one dimension.
            x_BTU = _put_out(inputs[0].detach().float().reshape(*batch_BT.shape, -1), count)
            sums = reader.sums(x_BTU)
            found[layer.index] = add_sums(found[layer.index], sums) if layer.index in found else sums

        linear: nn.Module = model.get_submodule(watched_linear(layer, units))
        return linear.register_forward_pre_hook(add)

    handles = [watch(layer) for layer in layers]
    try:
        model.base_model(input_ids=batch_BT, use_cache=False)
    finally:
        for handle in handles:
            handle.remove()


def _put_out(x_BTF: Tensor, count: int) -> Tensor:
    """Return one value a unit: a neuron's own, or the norm of what a head puts out."""
    return x_BTF if x_BTF.shape[-1] == count else x_BTF.reshape(*x_BTF.shape[:-1], count, -1).norm(dim=-1)


def _check_finite(found: Sequence[tuple[int, ActivationSums]]) -> None:
    for index, sums in found:
        if not bool(sums.power_4U.isfinite().all()):
            raise NonFiniteStatisticsError(f"Units of layer {index} are not finite on this text.", layer=index)
