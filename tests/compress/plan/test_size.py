"""The bytes that are counted are those of the file, whatever is cut and whichever types there are."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdbone.compress.plan import Bits, Cut, Plan
from birdbone.compress.plan.layout import Drafter
from birdbone.compress.plan.making import make_plan
from birdbone.compress.plan.measuring import Measurer
from birdbone.compress.plan.probes import file_probes, write_file_probe
from birdbone.compress.plan.size import FileSizer

from .conftest import CONFIG

PLANS = (
    Plan(),
    Plan(steps=(Bits(bits_per_weight=5.0, embedding="q5_0"),)),
    Plan(steps=(Cut(pattern="neuron", share=0.1), Bits(bits_per_weight=4.6, embedding="q8_0"))),
    Plan(
        steps=(
            Cut(pattern="layer", share=0.1),
            Cut(pattern="kv_group", share=0.02),
            Cut(pattern="neuron", share=0.1),
            Bits(bits_per_weight=4.5, embedding="q4_0"),
        )
    ),
)


@pytest.mark.parametrize("plan", PLANS, ids=lambda plan: plan.words)
def test_a_plan_writes_the_bytes_that_were_counted(
    plan: Plan, measurer: Measurer, drafter: Drafter, tmp_path: Path
) -> None:
    subject, layout = measurer.subject, drafter.draft(plan)
    made = make_plan(subject.loaded, measurer.graph, plan, layout, subject.text, CONFIG)
    report = made.write(tmp_path / "plan.gguf")
    assert FileSizer(subject.loaded, drafter.ends).file_bytes(layout) == report.size_bytes


def test_every_file_that_is_timed_has_the_bytes_that_were_counted(
    measurer: Measurer, drafter: Drafter, tmp_path: Path
) -> None:
    loaded, sizer = measurer.subject.loaded, FileSizer(measurer.subject.loaded, drafter.ends)
    probes = file_probes(measurer.graph, CONFIG, measurer.ground)
    assert len(probes) >= 8
    for probe in probes:
        report = write_file_probe(tmp_path / "probe.gguf", loaded, measurer.graph, probe.layout)
        assert sizer.file_bytes(probe.layout) == report.size_bytes, probe.name
