"""The page of growth plates shows every figure, says what was not measured, and needs nothing from elsewhere."""

from __future__ import annotations

from birdbone.compress.growth.plates import GrowthPlate, PlateLedger
from birdbone.compress.growth.protection import CriticalPath
from birdbone.pipeline.report.plates_page import render_plates_page


def make_ledger(*, is_measured: bool = True) -> PlateLedger:
    plates = tuple(
        GrowthPlate(
            structure=f"layers.{layer}.{kind}",
            kind=kind,
            layer=layer,
            num_parameters=1000,
            f16_bytes=2000,
            redundancy=0.25 + layer / 10 if is_measured else None,
            damage=0.01 * (layer + 1) if is_measured else None,
            damage_basis="measured" if is_measured else None,
        )
        for layer in range(3)
        for kind in ("attention", "feed_forward")
    )
    return PlateLedger(model="a <tiny> model", num_parameters=9000, windows=2, window_tokens=32, plates=plates)


def test_a_page_holds_two_maps_the_plates_and_what_happened_to_them() -> None:
    ledger = make_ledger().move(["layers.1.attention"], "marked", wave=3, note="it costs little")
    path = CriticalPath(name="residual_channel.5", reason="massive activation", is_protected=True)
    page = render_plates_page(ledger, [path])
    assert page.count("<svg") == 2
    assert "a &lt;tiny&gt; model" in page
    assert "it costs little" in page
    assert "residual_channel.5" in page
    assert 'class="badge measured"' in page
    assert "http" not in page.replace("http-equiv", "")
    assert render_plates_page(ledger, [path]) == page
    assert page.index("<code>layers.0.attention") < page.index("<code>layers.2.attention")


def test_what_was_not_measured_is_called_that_and_no_map_is_drawn() -> None:
    page = render_plates_page(make_ledger(is_measured=False))
    assert "<svg" not in page
    assert "not measured" in page
    assert "None was found or named." in page
