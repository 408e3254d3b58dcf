"""What a plan would come to: bytes counted, time and loss predicted, each with how far predictions were off."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from birdbone.compress.config import PlanConfig
from birdbone.compress.plan.latency import FileFeatures, LatencyModel, file_features, fit_latency
from birdbone.compress.plan.layout import Drafter, Layout
from birdbone.compress.plan.loss import Interval, LossModel, fit_loss, loss_features
from birdbone.compress.plan.measuring import Evidence, mean_context
from birdbone.compress.plan.size import FileSizer
from birdbone.compress.plan.techniques import Plan, plan_from_data
from birdbone.models import LoadedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Figures of a plan that was not carried out.

    Attributes:
        size_bytes: of the file, counted.
        bytes_read: that decoding a token reads, counted.
        seconds: a token, predicted.
        rise: of the loss in nats a token, predicted.
    """

    plan: Plan
    size_bytes: int
    bytes_read: int
    seconds: Interval
    rise: Interval

    @property
    def perplexity_ratio(self) -> Interval:
        """Perplexity over that of the model as it is."""
        rise = self.rise
        return Interval(value=math.exp(rise.value), low=math.exp(rise.low), high=math.exp(rise.high))

    def to_data(self) -> dict[str, Any]:
        """Return everything as plain data."""
        return {
            "plan": self.plan.to_data(),
            "words": self.plan.words,
            "size_bytes": self.size_bytes,
            "bytes_read": self.bytes_read,
            "seconds": asdict(self.seconds),
            "rise": asdict(self.rise),
        }


def forecast_from_data(data: Mapping[str, Any]) -> Forecast:
    """Return what `Forecast.to_data` described."""
    return Forecast(
        plan=plan_from_data(data["plan"]),
        size_bytes=int(data["size_bytes"]),
        bytes_read=int(data["bytes_read"]),
        seconds=Interval(**data["seconds"]),
        rise=Interval(**data["rise"]),
    )


class Forecaster:
    """Predicts plans for one model, one text and one machine."""

    def __init__(self, loaded: LoadedModel, evidence: Evidence, config: PlanConfig) -> None:
        self.drafter = Drafter(evidence.graph, evidence.cuts, evidence.bits, config)
        self.latency: LatencyModel = fit_latency(evidence.timed)
        self.loss: LossModel = fit_loss(evidence.judged)
        self._architecture = evidence.graph.architecture
        self._sizer = FileSizer(loaded, self.drafter.ends)
        self._mean_context = mean_context(config)

    def forecast(self, plan: Plan) -> Forecast:
        """Return what a plan would come to.

        Raises:
            ShareOutOfReachError, BitsBudgetError: the plan cannot be drafted.
        """
        layout = self.drafter.draft(plan)
        features = self.features(layout)
        seconds, reach = self.latency.seconds(features), self.latency.errors.spread
        return Forecast(
            plan=plan,
            size_bytes=self._sizer.file_bytes(layout),
            bytes_read=features.bytes_read,
            seconds=Interval(value=seconds, low=seconds * max(0.0, 1 - reach), high=seconds * (1 + reach)),
            rise=self.loss.interval(loss_features(layout)),
        )

    def features(self, layout: Layout) -> FileFeatures:
        """Return what of a layout decides its time."""
        return file_features(layout, self._architecture, self.drafter.ends, mean_context=self._mean_context)
