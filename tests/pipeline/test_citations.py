"""Citations: valid BibTeX, and only of what a run really used."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.pipeline.catalogue import CATALOGUE
from birdbone.pipeline.citations import CITATIONS, Citation, cite_recipe
from birdbone.pipeline.recipe import resolve_recipe

ARXIV = re.compile(r"\d{4}\.\d{5}")


def recipe(*overrides: str) -> dict[str, object]:
    raw = {"name": "all_kinds", "steps": [{"kind": kind} for kind in CATALOGUE]}
    return resolve_recipe(raw, overrides=overrides).model_dump(mode="json")


def keys(*overrides: str, kinds: set[str] | None = None, has_regrown: bool = False) -> set[str]:
    found = cite_recipe(recipe(*overrides), kinds=set(CATALOGUE) if kinds is None else kinds, has_regrown=has_regrown)
    return {citation.eprint or citation.key for citation in found}


def read_bibtex(text: str) -> tuple[str, str, dict[str, str]]:
    """Return type, key and fields of one entry, as strictly as BibTeX reads it."""
    head = re.fullmatch(r"% .+\n@(\w+)\{([\w]+),\n(.*)\n\}", text, flags=re.DOTALL)
    assert head is not None
    fields = {}
    for line in head[3].split(",\n"):
        name, value = re.fullmatch(r"  (\w+) = \{(.*)\}", line, flags=re.DOTALL).groups()  # type: ignore[union-attr]
        depth = 0
        for character in value:
            depth += {"{": 1, "}": -1}.get(character, 0)
            assert depth >= 0
        assert depth == 0
        fields[name] = value
    return head[1], head[2], fields


@pytest.mark.parametrize("citation", CITATIONS.values(), ids=list(CITATIONS))
def test_every_entry_is_valid_bibtex(citation: Citation) -> None:
    kind, key, fields = read_bibtex(citation.bibtex)
    assert (kind, key) == ("misc", citation.key)
    assert fields["title"] == f"{{{citation.title}}}"
    assert all(" and " in fields["author"] or name.startswith("{") for name in [fields["author"]])
    if citation.eprint:
        assert ARXIV.fullmatch(fields["eprint"])
        assert fields["archiveprefix"] == "arXiv"
        assert 0 <= citation.year - 2000 - int(citation.eprint[:2]) <= 1  # type: ignore[operator]
    else:
        assert "eprint" not in fields


def test_no_key_stands_twice() -> None:
    assert len({citation.key for citation in CITATIONS.values()}) == len(CITATIONS)


def test_a_whole_run_cites_its_methods() -> None:
    pruning = {"2306.11695", "2406.07831", "2208.11580", "2302.04089"}
    assert keys() == {"birdbone", "2502.02737", *pruning, "2210.17323", "llamacpp"}


@pytest.mark.parametrize(
    ("overrides", "added", "removed"),
    [
        (("waves.importance.kind=magnitude",), {"1506.02626"}, {"2306.11695"}),
        (("waves.heal.num_steps=0", "shed.heal.num_steps=0"), set(), {"2208.11580"}),
        (("waves.heal.kind=distill", "shed.heal.num_steps=0"), {"1503.02531"}, {"2208.11580"}),
        (("waves.heal.kind=distill", "waves.heal.distill_share=0", "shed.heal.num_steps=0"), set(), {"2208.11580"}),
        (("waves.heal.kind=lora", "shed.heal.num_steps=0"), {"1503.02531", "2106.09685", "2312.15230"}, {"2208.11580"}),
        (
            ("waves.heal.kind=qlora", "waves.heal.distill_share=0", "shed.heal.num_steps=0"),
            {"2106.09685", "2312.15230", "2305.14314"},
            {"2208.11580"},
        ),
        (("quantize.rounding.kind=feedback",), {"2210.17323"}, set()),
        (("model=my-model",), set(), {"2502.02737"}),
    ],
)
def test_the_settings_decide(overrides: tuple[str, ...], added: set[str], removed: set[str]) -> None:
    assert keys(*overrides) == (keys() | added) - removed


def test_regrowth_is_cited_only_if_something_grew_back() -> None:
    assert keys(has_regrown=True) - keys() == {"1911.11134"}


@given(st.sets(st.sampled_from(sorted(CATALOGUE))))
def test_a_step_that_never_ran_is_not_cited(kinds: set[str]) -> None:
    found = keys(kinds=kinds, has_regrown=True)
    assert found <= keys(has_regrown=True)
    assert ("2306.11695" in found) == ("waves" in kinds)
    assert ("llamacpp" in found) == bool({"export", "judge"} & kinds)
    assert "birdbone" in found


def test_a_recipe_of_another_release_can_still_be_cited() -> None:
    old = {"model": "starter", "steps": [{"kind": "waves", "importance": {"kind": "of_old"}, "gone": 1}]}
    found = cite_recipe(old, kinds={"waves"}, has_regrown=False)
    assert [citation.key for citation in found] == ["birdbone", "benallal2025smollm2", "meng2024alps"]


def test_each_rounding_cites_what_it_does() -> None:
    settings = {"kind": "quantize", "format": {"allocation": {"bits_per_weight": 4.6}}}
    for rounding, expected in (
        ({"kind": "nearest"}, {"1503.05671"}),
        ({"kind": "descent"}, {"1503.05671", "2210.17323", "2309.01885"}),
        ({"kind": "feedback", "num_learning_steps": 8}, {"1503.05671", "2210.17323", "2309.05516"}),
    ):
        found = cite_recipe({"steps": [settings | {"rounding": rounding}]}, kinds={"quantize"}, has_regrown=False)
        assert {citation.eprint for citation in found if citation.eprint} == expected
