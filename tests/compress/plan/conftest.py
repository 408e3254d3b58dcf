"""The tiny model as it is planned for: what was measured of it once, shared by all tests, which only read it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from birdbone.compress.config import PlanConfig, ProbeConfig, RoundingConfig
from birdbone.compress.plan import Ground
from birdbone.compress.plan.cache import PlanCache
from birdbone.compress.plan.forecast import Forecaster
from birdbone.compress.plan.layout import Drafter
from birdbone.compress.plan.making import Text
from birdbone.compress.plan.measuring import Evidence, Measurer, Subject
from birdbone.compress.plan.timing import open_in_process
from birdbone.data import load_corpus, token_windows
from birdbone.models import load_model

CONFIG = PlanConfig(
    types=("q4_0", "q5_1", "q8_0", "f16"),
    embeddings=("q8_0", "q4_0"),
    rounding=RoundingConfig(kind="nearest"),
    num_healing_steps=8,
    num_trials=60,
    population=12,
    probes=ProbeConfig(num_turns=2, num_decoded=4),
)


@pytest.fixture(scope="session")
def plan_cache(tmp_path_factory: pytest.TempPathFactory) -> PlanCache:
    return PlanCache(tmp_path_factory.mktemp("plans"))


@pytest.fixture(scope="session")
def subject(tiny_model_folder: Path) -> Subject:
    torch.set_num_threads(1)
    loaded, corpus = load_model(str(tiny_model_folder)), load_corpus()

    def windows(texts: tuple[str, ...], count: int) -> torch.Tensor:
        def encode(text: str) -> list[int]:
            return list(loaded.tokenizer(text, add_special_tokens=False)["input_ids"])

        return torch.from_numpy(token_windows(texts, encode, window=32, count=count))

    return Subject(
        loaded=loaded,
        digest="b3:tiny",
        text=Text(calibration_NT=windows(corpus.calibration, 6), healing_NT=windows(corpus.healing, 4)),
        judged_NT=windows(corpus.heldout, 6),
    )


def measurer_of(subject: Subject, cache: PlanCache) -> Measurer:
    return Measurer(subject, CONFIG, hardware_digest="b3:here", num_threads=1, cache=cache, ground=Ground())


@pytest.fixture(scope="session")
def measurer(subject: Subject, plan_cache: PlanCache) -> Measurer:
    return measurer_of(subject, plan_cache)


@pytest.fixture(scope="session")
def drafter(measurer: Measurer) -> Drafter:
    cuts, bits = measurer.facts()
    return Drafter(measurer.graph, cuts, bits, CONFIG)


@pytest.fixture(scope="session")
def evidence(measurer: Measurer) -> Evidence:
    return measurer.measure(open_timer=open_in_process)


@pytest.fixture(scope="session")
def forecaster(subject: Subject, evidence: Evidence) -> Forecaster:
    return Forecaster(subject.loaded, evidence, CONFIG)
