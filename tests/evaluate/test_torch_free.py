"""Rules and statistics load without torch, so that a recipe is checked before anything heavy is."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "room", ["birdbone.evaluate.damage", "birdbone.evaluate.custom", "birdbone.models.llamacpp", "birdbone.data"]
)
def test_the_room_loads_without_torch_and_transformers(room: str) -> None:
    code = f"import sys, {room}; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
