"""What plans are predicted from: what each structure and each type costs, measured once, as plain data.

Theory of operation. Each block is taken out alone on a little text, one streamed pass orders the units of every block,
and one backward pass says what fewer bits would do to each linear. Whatever plan is
asked about later is put together from these figures without running the model again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import torch
from jaxtyping import Int
from torch import Tensor

from birdbone.compress.config import (
    FIRST_TOKEN_SHARE,
    AdaptivePattern,
    AllocationConfig,
    PlanConfig,
    ProtectConfig,
    QuantizeFormat,
    StoredType,
)
from birdbone.compress.growth import DependencyGraph, Structure, parse_structure
from birdbone.compress.growth.costs import CutCosts
from birdbone.compress.growth.elimination import RemovalOrder
from birdbone.compress.growth.protection import protected_structures
from birdbone.compress.growth.structures import UnitKind
from birdbone.compress.quantize import weigh_types
from birdbone.compress.shedding.planning import measure_costs
from birdbone.compress.statistics import collect_statistics
from birdbone.models import LoadedModel

Tell = Callable[[str, int, int], None]
"""Is told what is measured, how much of it is done, and how much there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CutFacts:
    """What taking structures out would cost, and what stays."""

    costs: CutCosts
    protected: Mapping[Structure, str]

    def to_data(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "blocks": {structure.name: rise for structure, rise in self.costs.blocks.items()},
            "orders": [
                {"layer": layer, "unit": unit, "units": order.units_R.tolist(), "errors": order.errors_R.tolist()}
                for (layer, unit), order in self.costs.orders.items()
            ],
            "protected": {structure.name: reason for structure, reason in self.protected.items()},
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BitFacts:
    """What each type would do to the predictions, by the path of the linear: nats a token, at least 0."""

    damages: Mapping[str, Mapping[StoredType, float]]
    rank_agreement: float | None
    """Of estimates with what was measured; None where too few were."""

    def to_data(self) -> dict[str, Any]:
        """Return everything as plain data."""
        damages = {path: dict(found) for path, found in self.damages.items()}
        return {"damages": damages, "rank_agreement": self.rank_agreement}


def survey_cuts(
    loaded: LoadedModel,
    graph: DependencyGraph,
    windows_NT: Int[Tensor, "N T"],
    config: PlanConfig,
    *,
    tell: Tell = lambda _what, _done, _total: None,
) -> CutFacts:
    """Return what cuts would cost. The model is left as it was.

    The ends of the model are protected. Neurons of massive activation need no guard here: the exact error of taking
    one out puts it last.

    Raises:
        NoCalibrationDataError, NonFiniteStatisticsError, SingularGramError: of the measuring.
    """
    costs = measure_costs(
        loaded.model,
        graph,
        AdaptivePattern(share=config.max_share, kinds=config.cuts),
        windows_NT,
        ablate_windows=config.probes.num_ablation_windows,
        progress=_part(tell, "damage of structures"),
    )
    return CutFacts(costs=costs, protected=protected_structures(graph, (), ProtectConfig()))


def survey_bits(
    loaded: LoadedModel,
    windows_NT: Int[Tensor, "N T"],
    config: PlanConfig,
    *,
    tell: Tell = lambda _what, _done, _total: None,
) -> BitFacts:
    """Return what fewer bits would do to each linear. The model is left as it was.

    Raises:
        NoCalibrationDataError, NonFiniteStatisticsError, SilentInputError, BlockWidthError: the text, or the types.
    """
    statistics = collect_statistics(
        loaded.model,
        loaded.architecture,
        windows_NT,
        batch_size=1,
        first_token_share=FIRST_TOKEN_SHARE,
        progress=_part(tell, "activation statistics"),
    )
    weighed = weigh_types(
        loaded.model,
        loaded.architecture,
        statistics,
        windows_NT=windows_NT,
        wanted=QuantizeFormat(),
        config=AllocationConfig(
            types=config.types, num_windows=config.probes.num_sensitivity_windows, seed=config.seed
        ),
        tell=tell,
    )
    damages = {path: {option.type: option.damage for option in each} for path, each in weighed.options.items()}
    return BitFacts(damages=damages, rank_agreement=weighed.calibration.rank_agreement)


def cuts_from_data(data: Mapping[str, Any]) -> CutFacts:
    """Return what `CutFacts.to_data` described."""
    units: Mapping[str, UnitKind] = {kind: kind for kind in get_args(UnitKind)}
    orders = {
        (int(row["layer"]), units[row["unit"]]): RemovalOrder(
            units_R=torch.tensor(row["units"], dtype=torch.long), errors_R=torch.tensor(row["errors"])
        )
        for row in data["orders"]
    }
    blocks = {parse_structure(name): float(rise) for name, rise in data["blocks"].items()}
    protected = {parse_structure(name): str(reason) for name, reason in data["protected"].items()}
    return CutFacts(costs=CutCosts(blocks=blocks, orders=orders), protected=protected)


def bits_from_data(data: Mapping[str, Any]) -> BitFacts:
    """Return what `BitFacts.to_data` described."""
    damages = {path: dict(sorted(found.items())) for path, found in sorted(data["damages"].items())}
    return BitFacts(damages=damages, rank_agreement=data["rank_agreement"])


def _part(tell: Tell, what: str) -> Callable[[int, int], None]:
    return lambda done, total: tell(what, done, total)
