"""Bad settings are refused before anything runs, and the room's settings load without torch."""

from __future__ import annotations

import math
import subprocess
import sys

import pytest
from pydantic import ValidationError

from birdbone.train import FitConfig


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_steps", -1),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("learning_rate", math.inf),
        ("final_fraction", -0.1),
        ("final_fraction", 1.1),
        ("max_gradient_norm", 0.0),
        ("max_gradient_norm", math.inf),
        ("max_restarts", -1),
        ("momentum", 0.9),
    ],
)
def test_a_setting_out_of_bounds_or_unknown_is_refused(field: str, value: float) -> None:
    with pytest.raises(ValidationError, match=field):
        FitConfig.model_validate({"num_steps": 1, field: value})


def test_the_room_loads_without_torch_and_transformers() -> None:
    code = "import sys, birdbone.train; print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
