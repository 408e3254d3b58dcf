"""Bad settings are refused before anything runs, and the room's settings load without torch."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from birdbone.compress import LowRankConfig, QuantizeConfig, WavesConfig


@pytest.mark.parametrize(
    ("section", "field", "value"),
    [
        ("shed", "fraction", 0.0),
        ("shed", "fraction", 0.11),
        ("shed", "cluster", "head"),
        ("importance", "kind", "guess"),
        ("refit", "num_iterations", 0),
        ("refit", "damping", 0.0),
        ("refit", "damping", 1e-12),
        ("heal", "num_steps", -1),
        ("heal", "num_windows", 0),
        ("heal", "batch_size", 0),
        ("heal", "learning_rate", 0.2),
        ("heal", "learning_rate", math.nan),
        ("regrow", "spike", 0.0),
        ("regrow", "spike", math.inf),
        ("regrow", "fraction", 0.06),
        ("regrow", "num_windows", 0),
        ("stop_loss", "max_rise", 0.0),
        ("stop_loss", "max_rise", math.inf),
        ("stop_loss", "max_rise", math.nan),
        ("stop_loss", "max_total_rise", math.inf),
        ("stop_loss", "patience", 0),
        ("stop_loss", "mood", 1),
    ],
)
def test_a_setting_of_waves_out_of_bounds_or_unknown_is_refused(section: str, field: str, value: Any) -> None:
    with pytest.raises(ValidationError, match=section):
        WavesConfig.model_validate({section: {field: value}})


@pytest.mark.parametrize("max_waves", [0, 201, math.inf])
def test_the_number_of_waves_is_bounded(max_waves: float) -> None:
    with pytest.raises(ValidationError, match="max_waves"):
        WavesConfig.model_validate({"max_waves": max_waves})


@pytest.mark.parametrize(
    "settings",
    [
        {"format": {"linears": "q3_x"}},
        {"format": {"embedding": "none"}},
        {"rounding": {"kind": "up"}},
        {"rounding": {"damping": 0}},
        {"rounding": {"damping": 1.5}},
    ],
)
def test_a_setting_of_quantize_out_of_bounds_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        QuantizeConfig.model_validate(settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"rank": 0},
        {"rank": 257},
        {"num_steps": 0},
        {"num_windows": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"learning_rate": math.inf},
    ],
)
def test_a_setting_of_low_rank_out_of_bounds_is_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        LowRankConfig.model_validate(settings)


def test_the_room_loads_without_torch_and_transformers() -> None:
    code = "import sys, birdbone.compress; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
