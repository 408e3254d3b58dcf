"""A recipe is checked whole before anything heavy is loaded, and says where it is wrong."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.core import read_yaml, write_yaml
from birdbone.core.errors import YamlError
from birdbone.pipeline import BadRecipeError, Recipe, UnknownStepError, load_recipe, resolve_recipe

RECIPES = Path(__file__).parents[2] / "recipes"
SHIPPED = sorted(RECIPES.glob("*.yaml"))
KINDS = ["seed", "log_activations", "waves", "quantize", "low_rank", "export", "judge", "version"]

RULE = {"measurement": "perplexity_ratio", "kind": "at_most", "limit": 1.0}

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
keys = st.sampled_from(["name", "model", "data", "evaluate", "seed", "num_threads", "dtype", "steps", "waves", "kind"])
recipe_like = st.dictionaries(keys, values | st.lists(st.fixed_dictionaries({"kind": st.sampled_from(KINDS)})))


def raw(*kinds: str, **changes: Any) -> dict[str, Any]:
    return {"name": "small", "steps": [{"kind": kind} for kind in kinds or KINDS], **changes}


def refusal(recipe: dict[str, Any], *overrides: str, **changes: Any) -> str:
    with pytest.raises(BadRecipeError) as caught:
        resolve_recipe(recipe, overrides=overrides, **changes)
    assert caught.value.hint
    return caught.value.message


def test_all_shipped_recipes_are_seen() -> None:
    assert [path.stem for path in SHIPPED] == ["demo", "featherweight", "hollow", "tiny"]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_resolves_goes_from_seed_to_version_and_is_named_after_its_file(path: Path) -> None:
    recipe = resolve_recipe(load_recipe(path))
    assert recipe.name == path.stem
    assert recipe.description
    kinds = [step.kind for step in recipe.steps]
    assert kinds == (["seed", "shed", "log_activations", *KINDS[3:]] if path.stem == "hollow" else KINDS)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_recipe_written_out_whole_is_the_same_recipe(path: Path, tmp_path: Path) -> None:
    recipe = resolve_recipe(load_recipe(path))
    write_yaml(recipe.model_dump(mode="json"), tmp_path / "whole.yaml")
    assert resolve_recipe(load_recipe(tmp_path / "whole.yaml")) == recipe


def test_checking_recipes_and_listing_their_settings_loads_no_torch() -> None:
    program = (
        "import sys; from pathlib import Path;"
        "from birdbone.pipeline import load_recipe, resolve_recipe;"
        "from birdbone.pipeline.catalogue import settings_types;"
        "import birdbone.pipeline.service;"
        f"paths = sorted(Path({str(RECIPES)!r}).glob('*.yaml'));"
        "[resolve_recipe(load_recipe(path)) for path in paths]; settings_types();"
        "print(len(paths), [name for name in ('torch', 'transformers', 'dbos', 'xllamacpp') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split(maxsplit=1) == [str(len(SHIPPED)), "[]\n"]


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"colour": "blue"}, "colour"),
        ({"data": {"windw": 64}}, "data.windw"),
        ({"data": {"window": 1}}, "data.window"),
        ({"name": "Not a name"}, "name"),
        ({"num_threads": 0}, "num_threads"),
        ({"dtype": "float16"}, "dtype"),
        ({"seed": 2**80}, "seed"),
        ({"steps": []}, "steps"),
        ({"steps": [{"kind": "seed"}, {"kind": "sow"}]}, "steps.1"),
        ({"steps": [{"kind": "seed", "speed": 1}]}, "steps.0.seed.speed"),
        ({"steps": [{"kind": "waves", "shed": {"fraction": 0.2}}]}, "steps.0.waves.shed.fraction"),
        ({"steps": [{"kind": "waves", "heal": {"num_steps": "many"}}]}, "steps.0.waves.heal.blockwise.num_steps"),
        ({"evaluate": {"gate": [{**RULE, "limit": "low"}]}}, "evaluate.gate.0.limit"),
        ({"evaluate": {"gate": [{**RULE, "limit": float("inf")}]}}, "evaluate.gate.0.limit"),
    ],
)  # fmt: skip
def test_a_key_or_value_that_does_not_fit_is_named_with_its_place(changes: dict[str, Any], place: str) -> None:
    assert f"{place}: " in refusal(raw(**changes))


def test_every_fault_is_named_at_once() -> None:
    message = refusal(raw(seed=-1, dtype="int3", colour=1))
    assert all(f"{place}: " in message for place in ("seed", "dtype", "colour"))


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (("waves",), "'waves' needs seed, log_activations before it"),
        (("seed", "quantize", "log_activations"), "'quantize' needs log_activations before it"),
        (("seed", "log_activations", "quantize", "judge"), "'judge' needs export before it"),
        (("seed", "seed"), "'seed' stands twice"),
        (("seed", "log_activations", "waves", "waves"), "'waves' stands twice"),
    ],
)
def test_a_step_needs_others_before_it_and_stands_once(kinds: tuple[str, ...], words: str) -> None:
    assert words in refusal(raw(*kinds))


@pytest.mark.parametrize("override", ["low_rank.num_windows=7", "data.num_healing_windows=7"])
def test_too_few_windows_for_a_late_step_are_refused_before_the_first(override: str) -> None:
    message = refusal(raw(), "low_rank.batch_size=4", override)
    assert "'low_rank' learns on 7 windows; a batch size of 4 needs 8" in message
    resolve_recipe(raw(), overrides=["low_rank.batch_size=4", override], until="quantize")


def test_healing_is_by_blocks_unless_named_and_each_way_has_its_own_settings() -> None:
    assert resolve_recipe(raw(), overrides=["waves.heal.num_steps=7"]).step("waves").heal.kind == "blockwise"
    named = resolve_recipe(raw(), overrides=["waves.heal.kind=qlora", "waves.heal.rank=4"]).step("waves").heal
    assert (named.kind, named.rank, named.base) == ("qlora", 4, "nf4")
    assert "steps.2.waves.heal.distill.rank: " in refusal(raw(), "waves.heal.kind=distill", "waves.heal.rank=4")


def test_healing_that_would_hold_all_its_windows_back_is_refused() -> None:
    changes = ("waves.heal.kind=lora", "waves.heal.num_deciding_windows=4")
    for windows in ("waves.heal.num_windows=4", "data.num_healing_windows=4"):
        assert "none is left to learn from" in refusal(raw(), *changes, windows, "low_rank.batch_size=1")
    resolve_recipe(raw(), overrides=[*changes, "waves.heal.num_windows=5"])


@pytest.mark.parametrize("count", range(1, len(KINDS) + 1))
def test_until_keeps_the_steps_up_to_one_and_that_one(count: int) -> None:
    recipe = resolve_recipe(raw(), until=KINDS[count - 1])
    assert [step.kind for step in recipe.steps] == KINDS[:count]


def test_until_must_be_a_step_of_the_recipe() -> None:
    with pytest.raises(UnknownStepError, match="no step 'judge'; it has seed, log_activations"):
        resolve_recipe(raw("seed", "log_activations"), until="judge")


def test_overrides_are_yaml_1_2() -> None:
    overrides = [
        "waves.heal.learning_rate=3e-4",
        "waves.stop_loss={max_rise: 0.5, patience: 1}",
        "evaluate.gate=[]",
        "description=no",
        "model=./some folder",
        "num_threads=null",
    ]
    recipe = resolve_recipe(raw(), overrides=overrides)
    waves = recipe.step("waves")
    assert waves.heal.learning_rate == 3e-4
    assert (waves.stop_loss.max_rise, waves.stop_loss.patience) == (0.5, 1)
    assert recipe.evaluate.gate == ()
    assert (recipe.description, recipe.model, recipe.num_threads) == ("no", "./some folder", None)


@given(
    max_waves=st.integers(1, 200),
    rise=st.floats(1e-6, 1.0),
    window=st.integers(2, 4096),
    seed=st.integers(0, 2**31 - 1),
)
def test_an_override_sets_just_its_value(max_waves: int, rise: float, window: int, seed: int) -> None:
    overrides = [
        f"waves.max_waves={max_waves}",
        f"waves.stop_loss.max_rise={rise!r}",
        f"data.window={window}",
        f"seed={seed}",
    ]
    changed = resolve_recipe(raw(), overrides=overrides)
    expected = resolve_recipe(raw()).model_dump(mode="json")
    expected["steps"][2] |= {"max_waves": max_waves}
    expected["steps"][2]["stop_loss"] |= {"max_rise": rise}
    expected["data"] |= {"window": window}
    assert changed.model_dump(mode="json") == expected | {"seed": seed}


def test_a_later_override_wins_and_the_recipe_it_came_from_is_not_changed() -> None:
    recipe = raw()
    assert resolve_recipe(recipe, overrides=["seed=1", "seed=2"]).seed == 2
    assert resolve_recipe(recipe, overrides=["waves.max_waves=3"]).step("waves").max_waves == 3
    assert recipe == raw()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("waves.max_waves", "path=value"),
        ("=3", "path=value"),
        ("waves..x=3", "path=value"),
        ("wave.max_waves=3", "nothing is called 'wave'"),
        ("version.ref.deep.er=1", "'ref' is not a group"),
        ("waves.max_waves=.inf", "not a finite number"),
        ("data.window=1", "data.window: "),
        ("waves.colour=1", "steps.2.waves.colour: "),
    ],
)
def test_an_override_that_does_not_fit_says_why(override: str, words: str) -> None:
    assert words in refusal(
        raw(*KINDS[:-1], steps=[*raw(*KINDS[:-1])["steps"], {"kind": "version", "ref": "main"}]), override
    )


def test_an_override_that_is_no_yaml_names_itself() -> None:
    with pytest.raises(YamlError, match="--set seed"):
        resolve_recipe(raw(), overrides=["seed=[1"])


def test_model_and_data_of_the_command_line_win() -> None:
    recipe = resolve_recipe(raw(model="a", data={"source": "b", "window": 64}), model="c", data="d")
    assert (recipe.model, recipe.data.source, recipe.data.window) == ("c", "d", 64)
    assert resolve_recipe(raw(data=None), data="d").data.source == "d"


overrides_like = st.text(max_size=12) | st.sampled_from(["waves.x=1", "data.window=8", "steps.a.b=1", "evaluate.a=[]"])


@given(recipe=recipe_like, override=overrides_like)
def test_whatever_a_file_holds_it_is_a_recipe_or_an_error_of_ours(recipe: dict[str, Any], override: str) -> None:
    for changes in ({}, {"overrides": [override]}, {"data": "some.txt", "model": "m"}):
        with contextlib.suppress(BadRecipeError, UnknownStepError, YamlError):
            assert isinstance(resolve_recipe(recipe, **changes), Recipe)


@pytest.mark.parametrize("text", ["", "just words", "- a\n- b\n", "3"])
def test_a_file_without_a_mapping_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(BadRecipeError, match="should hold a mapping"):
        load_recipe(tmp_path / "odd.yaml")


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadRecipeError, match="No recipe at"):
        load_recipe(tmp_path / "absent.yaml")
    (tmp_path / "latin.yaml").write_bytes("name: caf\xe9".encode("latin-1"))
    with pytest.raises(BadRecipeError, match="not UTF-8"):
        load_recipe(tmp_path / "latin.yaml")


def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "twice.yaml").write_text("name: a\nname: b\n")
    with pytest.raises(YamlError, match="line 2"):
        load_recipe(tmp_path / "twice.yaml")


def test_the_tiny_recipe_is_small_and_settled() -> None:
    recipe = resolve_recipe(load_recipe(RECIPES / "tiny.yaml"))
    assert (recipe.num_threads, recipe.dtype) == (1, "float32")
    windows = recipe.data.num_calibration_windows + recipe.data.num_healing_windows + recipe.data.num_heldout_windows
    assert windows * recipe.data.window <= 4096


def test_the_header_of_a_shipped_recipe_says_what_it_is_for() -> None:
    headers = [path.read_text(encoding="utf-8").split("name:")[0] for path in SHIPPED]
    assert all(100 <= len(header) <= 500 for header in headers)
    assert all(read_yaml(header) is None for header in headers)
