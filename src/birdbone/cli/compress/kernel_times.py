"""What `compress kernels` does and prints."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from rich.table import Table

from birdbone.cli.errors import UsageError
from birdbone.cli.output import new_table
from birdbone.compress.config import FactorConfig, RankConfig
from birdbone.compress.dispatch import Dispatch, DispatchCache, dispatch_linear
from birdbone.compress.lowrank import factorise
from birdbone.models import LoadedModel, load_model, use_threads
from birdbone.watch import choose_num_threads

_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapeTimes:
    """What was timed on one shape, and how many linears of the model have it."""

    shape: tuple[int, int]
    num_linears: int
    num_tokens: int
    dispatch: Dispatch


def time_linears(
    model: str, tokens: str, *, rank_share: float, repeats: int, cache: Path | None, num_threads: int | None
) -> list[ShapeTimes]:
    """Return the timings of each shape of linear in the model, for each number of tokens.

    Raises:
        UsageError: `tokens` are no whole numbers with commas between them.
        ModelError: there is no such model.
        RankError: factors of a linear do not fit into the share.
    """
    counts = [int(word) for word in tokens.split(",") if word.strip().isdecimal() and int(word) > 0]
    if len(counts) != len(tokens.split(",")):
        raise UsageError(f"--tokens takes whole numbers above 0, such as 1,128; {tokens!r} came.")
    before = use_threads(num_threads or choose_num_threads())
    try:
        kept = None if cache is None else DispatchCache(cache)
        return list(_time_shapes(load_model(model), counts, rank_share=rank_share, repeats=repeats, cache=kept))
    finally:
        use_threads(before)


def as_json(found: Sequence[ShapeTimes]) -> list[dict[str, Any]]:
    """Return everything as plain data."""
    return [dataclasses.asdict(each) | {"speed_up": each.dispatch.speed_up} for each in found]


def table(found: Sequence[ShapeTimes]) -> Table:
    """Return a row for each kernel of each shape: its median time, and whether it was chosen or why not."""
    rows = []
    for each in found:
        timed = {timing.kernel: f"{1000 * timing.seconds:.3f} ms" for timing in each.dispatch.timings}
        for kernel in dict.fromkeys((*timed, *each.dispatch.refused)):
            verdict = "chosen" if kernel == each.dispatch.chosen else f"refused: {each.dispatch.refused[kernel]}"
            shape = f"{each.shape[0]} x {each.shape[1]}"
            rows.append((shape, str(each.num_tokens), kernel, timed.get(kernel, "not measured"), verdict))
    return new_table(("shape", "tokens", "kernel", "median", "verdict"), rows)


def _time_shapes(
    loaded: LoadedModel, counts: Sequence[int], *, rank_share: float, repeats: int, cache: DispatchCache | None
) -> Iterator[ShapeTimes]:
    by_shape: dict[tuple[int, int], list[str]] = {}
    for layer in loaded.architecture.layers:
        for slot in layer.linears:
            by_shape.setdefault((slot.out_features, slot.in_features), []).append(slot.path)
    config = FactorConfig(kind="plain", rank=RankConfig(kind="bytes", byte_share=rank_share))
    for shape, paths in by_shape.items():
        w_FD = loaded.model.get_parameter(f"{paths[0]}.weight").detach().float()
        factors = factorise(w_FD, torch.eye(shape[1]), config=config)
        for count in counts:
            x_MD = torch.randn(count, shape[1], generator=torch.Generator().manual_seed(_SEED))
            found = dispatch_linear(w_FD, x_MD, factors=factors, cache=cache, repeats=repeats)
            yield ShapeTimes(shape=shape, num_linears=len(paths), num_tokens=count, dispatch=found)
