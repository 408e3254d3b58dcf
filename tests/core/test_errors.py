import importlib
import pkgutil
import re

import pytest

import birdbone
from birdbone.core import BirdboneError, exit_code
from birdbone.core.errors import DiskFullError
from birdbone.core.measurement import Measurement

KINDS = {"invalid": 2, "not_found": 3, "conflict": 4, "denied": 5, "unavailable": 6, "cancelled": 130, "internal": 1}
ROOMS = ("core", "watch", "vault", "data", "models", "evaluate", "train", "compress", "pipeline")


def all_errors() -> list[type[BirdboneError]]:
    for room in ROOMS:
        package = importlib.import_module(f"birdbone.{room}")
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith(".errors"):
                importlib.import_module(module.name)
    found: list[type[BirdboneError]] = []
    waiting = [BirdboneError]
    while waiting:
        found += (subclasses := waiting.pop().__subclasses__())
        waiting += subclasses
    return [error for error in found if error.__module__.startswith(birdbone.__name__)]


def test_every_kind_has_its_exit_code() -> None:
    assert {kind: exit_code(kind) for kind in KINDS} == KINDS  # type: ignore[arg-type]


def test_every_error_has_a_dotted_code_a_known_kind_and_a_docstring() -> None:
    errors = all_errors()
    assert len(errors) > 40
    for error in errors:
        assert re.fullmatch(r"[a-z_]+\.[a-z0-9_]+", error.code), error
        assert error.kind in KINDS, error
        assert error.__doc__, error


def test_an_error_tells_a_program_what_it_tells_a_person() -> None:
    error = BirdboneError("It broke.", hint="Mend it.", layer=3)
    assert error.to_dict() == {
        "code": "core.internal",
        "kind": "internal",
        "message": "It broke.",
        "hint": "Mend it.",
        "layer": 3,
    }
    assert str(error) == "It broke."


def test_an_error_crosses_to_another_process_whole() -> None:
    sent = DiskFullError("No room.", path="a")
    came = BirdboneError.from_dict(sent.to_dict())
    assert came.to_dict() == sent.to_dict()
    assert (came.code, came.kind, BirdboneError.code) == ("core.disk_full", "unavailable", "core.internal")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_figure_that_is_no_number_is_no_measurement(value: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        Measurement(name="perplexity", value=value, unit="1", method="m", artefact="b3:0")
