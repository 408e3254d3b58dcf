"""No tensor is chosen silently: what only one side changed is taken, the rest is named or refused."""

import datetime as dt
import json
import random
import struct

import numpy as np
import pytest

from birdbone.vault import (
    UnknownNameError,
    checkout,
    commit,
    log,
    move_ref,
    open_vault,
    put_folder,
    read_manifest,
    read_ref,
    read_version,
    refs,
    resolve,
)
from birdbone.vault.ancestry import lowest_common_ancestors
from birdbone.vault.errors import (
    BadStrategyError,
    MergeConflictError,
    UnmergeableError,
    UnrelatedHistoriesError,
)
from birdbone.vault.merging import decide, merge, plan_merge
from birdbone.vault.merging.maths import merge_linear, merge_slerp, merge_ties
from birdbone.vault.merging.three_way import TRAILER
from birdbone.vault.store.objects import read_object

from ..checkpoints import Tensor, content_of, float32, safetensors_bytes

MOMENT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
NUM_HISTORIES = 500


class History:
    """A store in which versions are made in a line of code."""

    def __init__(self, folder):
        self.vault = open_vault(folder / "store")
        self._folder = folder
        self._known: dict[object, str] = {}

    def put(self, tensors: dict[str, Tensor], *, metadata=None, files: dict[str, str] | None = None, kind="model"):
        key = (tuple(sorted(tensors.items())), str(metadata), str(files), kind)
        if key not in self._known:
            folder = self._folder / f"put-{len(self._known)}"
            folder.mkdir()
            (folder / "model.safetensors").write_bytes(safetensors_bytes(tensors, metadata=metadata))
            for path, content in (files or {}).items():
                (folder / path).write_text(content)
            self._known[key] = put_folder(self.vault, folder, kind=kind)
        return self._known[key]

    def commit(self, branch: str, tensors: dict[str, Tensor], *, parents=None, **more) -> str:
        artefact = self.put(tensors, **more)
        made = commit(
            self.vault, artefact, ref=branch, message="", author="Ada", time=MOMENT, parents=parents,
            expected=read_ref(self.vault, branch),
        )  # fmt: skip
        return made.id

    def fork(self, base, ours, theirs, **more) -> None:
        """Three versions: one that both sides come from, and the sides. Files and metadata as triples."""
        triples = {name: more.pop(name, (None, None, None)) for name in ("files", "metadata")}
        rows = [{name: triple[place] for name, triple in triples.items()} for place in range(3)]
        root = self.commit("main", base, **rows[0])
        move_ref(self.vault, "side", root)
        self.commit("main", ours, **rows[1])
        self.commit("side", theirs, **rows[2])

    def tensors(self, name: str) -> dict[str, Tensor]:
        entries = read_manifest(self.vault, name).tensors()
        return {
            key: (entry.dtype, entry.shape, read_object(self.vault, "blobs", entry.digest))
            for key, entry in entries.items()
        }


@pytest.fixture
def history(tmp_path):
    return History(tmp_path)


def state_of(vault) -> tuple:
    objects = sorted(path.name for path in vault.objects.rglob("*") if path.is_file())
    return refs(vault), objects


def values_of(tensor: Tensor) -> np.ndarray:
    return np.frombuffer(tensor[2], np.float32)


def test_each_side_s_own_changes_are_taken(history):
    base = {name: float32(0.0) for name in ("same", "mine", "yours", "agreed", "gone")}
    history.fork(
        base,
        base | {"mine": float32(1.0), "agreed": float32(3.0), "new": float32(9.0)},
        {name: value for name, value in base.items() if name != "gone"}
        | {"yours": float32(2.0), "agreed": float32(3.0), "other": float32(8.0)},
    )
    result = merge(history.vault, "main", "side", author="Ada", time=MOMENT)
    assert result.outcome == "merged"
    assert history.tensors("main") == {
        "same": float32(0.0), "mine": float32(1.0), "yours": float32(2.0), "agreed": float32(3.0),
        "new": float32(9.0), "other": float32(8.0),
    }  # fmt: skip
    assert {decision.name: decision.state for decision in result.decisions if decision.what == "tensor"} == {
        "same": "untouched", "mine": "ours", "yours": "theirs", "agreed": "both", "gone": "theirs", "new": "ours",
        "other": "theirs",
    }  # fmt: skip
    assert not any(decision.strategy for decision in result.decisions)


def test_a_merge_is_a_version_with_two_parents_and_says_what_settled_its_conflicts(history):
    history.fork({"w": float32(0.0, 0.0)}, {"w": float32(1.0, 0.0)}, {"w": float32(0.0, 3.0)})
    ours, theirs = (resolve(history.vault, name) for name in ("main", "side"))
    plan = plan_merge(history.vault, "main", "side")
    result = merge(history.vault, "main", "side", strategies=["w=linear:weight=0.5"], message="Both", author="Bo")
    version = read_version(history.vault, "main")
    assert (version.id, version.parents, version.author) == (result.version, (ours, theirs), "Bo")
    text, _, record = version.message.partition("\n\n" + TRAILER)
    assert text == "Both"
    assert json.loads(record) == {"bases": list(plan.bases), "settled": {"linear:weight=0.5": ["w"]}}
    assert history.tensors("main")["w"] == float32(0.5, 1.5)
    decision = next(decision for decision in result.decisions if decision.name == "w")
    assert (decision.state, decision.strategy, decision.rule) == ("conflict", "linear:weight=0.5", "w")


def test_a_merge_done_again_is_the_same_version_on_any_number_of_threads(tmp_path):
    versions = []
    for num_threads in (1, 3):
        folder = tmp_path / str(num_threads)
        folder.mkdir()
        history = History(folder)
        history.fork({"w": float32(*range(9))}, {"w": float32(*range(1, 10))}, {"w": float32(*range(9, 0, -1))})
        rule = "*=dare_ties:weight=0.5,density=0.5"
        made = merge(
            history.vault, "main", "side", strategies=[rule], author="Bo", time=MOMENT, num_threads=num_threads
        )
        versions.append(made.version)
    assert versions[0] == versions[1]


def test_a_conflict_without_a_strategy_stops_the_merge_and_all_are_named(history):
    base = {"a": float32(0.0), "b": float32(0.0), "c": float32(0.0), "shape": float32(0.0)}
    history.fork(
        base,
        {"a": float32(1.0), "c": float32(1.0), "shape": float32(1.0, 1.0), "new": float32(1.0)},
        {"a": float32(2.0), "b": float32(2.0), "shape": float32(2.0), "new": float32(2.0)},
        files=({"readme": "0"}, {"readme": "1"}, {"readme": "2"}),
    )
    before = state_of(history.vault)
    with pytest.raises(MergeConflictError) as caught:
        merge(history.vault, "main", "side")
    assert state_of(history.vault) == before
    assert {(row["name"], row["what"]): row["reason"] for row in caught.value.fields["conflicts"]} == {
        ("a", "tensor"): "changed by both, differently",
        ("b", "tensor"): "deleted by us, changed by them",
        ("c", "tensor"): "changed by us, deleted by them",
        ("shape", "tensor"): "changed by both, differently: ours is F32 [2], theirs F32 [1]",
        ("new", "tensor"): "added by both, differently",
        ("readme", "file"): "changed by both, differently",
    }
    assert all(f"  {name}: " in caught.value.message for name in ("a", "b", "c", "shape", "new", "readme"))


def test_a_conflict_may_be_settled_by_a_side_or_the_base_deletions_included(history):
    base = {"a": float32(0.0), "b": float32(0.0), "c": float32(0.0), "d": float32(0.0)}
    ours = {"a": float32(1.0), "c": float32(1.0), "d": float32(1.0)}
    theirs = {"a": float32(2.0), "b": float32(2.0), "d": float32(2.0)}
    files = ({"readme": "0", "note": "0"}, {"readme": "1", "note": "1"}, {"readme": "2"})
    history.fork(base, ours, theirs, files=files)
    rules = ["a=theirs", "b=ours", "c=theirs", "readme=theirs", "note=base", "*=base"]
    merge(history.vault, "main", "side", strategies=rules)
    assert history.tensors("main") == {"a": float32(2.0), "d": float32(0.0)}
    content = content_of(checkout(history.vault, "main", history.vault.folder / "out"))
    assert (content["readme"], content["note"]) == (b"2", b"0")


def test_a_strategy_is_for_conflicts_only(history):
    base = {"a": float32(0.0), "b": float32(0.0)}
    history.fork(base, base | {"a": float32(1.0)}, base | {"b": float32(1.0)})
    merge(history.vault, "main", "side", strategies=["*=theirs"])
    assert history.tensors("main") == {"a": float32(1.0), "b": float32(1.0)}


def test_the_first_rule_that_matches_is_used(history):
    history.fork({"a": float32(0.0), "b": float32(0.0)}, {"a": float32(1.0), "b": float32(1.0)},
                 {"a": float32(2.0), "b": float32(2.0)})  # fmt: skip
    merge(history.vault, "main", "side", strategies=["a=theirs", "*=ours"])
    assert history.tensors("main") == {"a": float32(2.0), "b": float32(1.0)}


@pytest.mark.parametrize(
    ("rule", "ours", "theirs", "words"),
    [
        ("linear:weight=0.5", float32(1.0), None, "needs the tensor in each version"),
        ("linear:weight=0.5", float32(1.0), float32(1.0, 2.0), "dtypes or shapes differ"),
        ("linear:weight=0.5", float32(1.0), ("I32", (1,), b"\1\0\0\0"), "dtypes or shapes differ"),
        ("slerp:t=0.5", ("I32", (1,), b"\1\0\0\0"), ("I32", (1,), b"\2\0\0\0"), "I32 has no arithmetic"),
        ("ties:weight=0.5", float32(1.0, 1.0), float32(2.0, 2.0), "dtypes or shapes differ"),
    ],
)
def test_arithmetic_that_does_not_fit_leaves_the_conflict_open(history, rule, ours, theirs, words):
    history.fork({"w": float32(0.0)}, {"w": ours}, {} if theirs is None else {"w": theirs})
    before = state_of(history.vault)
    with pytest.raises(MergeConflictError, match=words) as caught:
        merge(history.vault, "main", "side", strategies=[f"w={rule}"])
    assert f"w={rule}" in caught.value.message
    assert state_of(history.vault) == before


def test_a_tensor_that_is_not_finite_is_named_and_nothing_is_written(history):
    history.fork({"w": float32(0.0)}, {"w": float32(float("nan"))}, {"w": float32(1.0)})
    before = state_of(history.vault)
    with pytest.raises(UnmergeableError, match=r"w by \*=ties.*not finite"):
        merge(history.vault, "main", "side", strategies=["*=ties:weight=0.5"])
    assert state_of(history.vault) == before


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_half_precision_is_merged_in_its_own_dtype(history, dtype):
    one, two = (struct.pack("<e", value) if dtype == "F16" else struct.pack("<f", value)[2:] for value in (1.0, 2.0))
    history.fork({"w": (dtype, (1,), bytes(2))}, {"w": (dtype, (1,), one)}, {"w": (dtype, (1,), two)})
    merge(history.vault, "main", "side", strategies=["*=linear:weight=0.5"])
    expected = struct.pack("<e", 1.5) if dtype == "F16" else struct.pack("<f", 1.5)[2:]
    assert history.tensors("main")["w"] == (dtype, (1,), expected)


def test_a_branch_that_is_behind_moves_on_and_one_that_is_ahead_stays(history):
    first = history.commit("main", {"w": float32(0.0)})
    move_ref(history.vault, "side", first)
    second = history.commit("side", {"w": float32(1.0)})
    forward = merge(history.vault, "main", "side")
    assert (forward.outcome, forward.version, resolve(history.vault, "main")) == ("fast_forward", second, second)
    assert len(log(history.vault, "main")) == 2
    for theirs in ("side", first):
        again = merge(history.vault, "main", theirs)
        assert (again.outcome, again.version) == ("up_to_date", second)


def test_without_fast_forward_the_merge_is_a_version_of_its_own(history):
    first = history.commit("main", {"w": float32(0.0)})
    move_ref(history.vault, "side", first)
    second = history.commit("side", {"w": float32(1.0)})
    result = merge(history.vault, "main", "side", allow_fast_forward=False)
    assert (result.outcome, read_version(history.vault, "main").parents) == ("merged", (first, second))
    assert result.artefact == read_version(history.vault, second).artefact


def test_json_files_are_merged_key_by_key(history):
    history.fork(
        {}, {}, {},
        files=(
            {"config.json": '{"a": 1, "gone": 2, "deep": {"x": 1, "y": 1}}'},
            {"config.json": '{"a": 2, "gone": 2, "deep": {"x": 2, "y": 1}, "mine": [1]}'},
            {"config.json": '{"a": 1, "deep": {"x": 1, "y": 2}, "yours": null}'},
        ),
    )  # fmt: skip
    result = merge(history.vault, "main", "side")
    content = content_of(checkout(history.vault, "main", history.vault.folder / "out"))["config.json"]
    assert json.loads(content) == {"a": 2, "deep": {"x": 2, "y": 2}, "mine": [1], "yours": None}
    assert {decision.name: decision.state for decision in result.decisions if decision.what == "key"} == {
        "config.json:a": "ours", "config.json:gone": "theirs", "config.json:deep.x": "ours",
        "config.json:deep.y": "theirs", "config.json:mine": "ours", "config.json:yours": "theirs",
    }  # fmt: skip


@pytest.mark.parametrize(("rule", "value"), [("config.json=theirs", 3), ("config.json:a=ours", 2), ("*:a=base", 1)])
def test_a_key_that_both_changed_is_a_conflict(history, rule, value):
    versions = tuple({"config.json": json.dumps({"a": number, "b": 0})} for number in (1, 2, 3))
    history.fork({}, {}, {}, files=versions)
    with pytest.raises(MergeConflictError, match=r"config\.json:a: changed by both"):
        merge(history.vault, "main", "side", strategies=["*=linear:weight=0.5"])
    merge(history.vault, "main", "side", strategies=[rule])
    content = content_of(checkout(history.vault, "main", history.vault.folder / "out"))["config.json"]
    assert json.loads(content) == {"a": value, "b": 0}


@pytest.mark.parametrize("theirs", ['{"a": 1, "a": 2}', '{"a": NaN}', "[1]", '{"a": ', '{"a": 1e999}'])
def test_json_that_could_not_be_written_back_is_one_conflict(history, theirs):
    files = ({"config.json": '{"a": 0}'}, {"config.json": '{"a": 1}'}, {"config.json": theirs})
    history.fork({}, {}, {}, files=files)
    assert [conflict.name for conflict in plan_merge(history.vault, "main", "side").conflicts] == ["config.json"]


def test_true_is_not_one_and_one_is_not_one_point_zero(history):
    files = tuple({"config.json": text} for text in ('{"a": 1, "b": 1}', '{"a": true, "b": 1}', '{"a": 1, "b": 1.0}'))
    history.fork({}, {}, {}, files=files)
    merge(history.vault, "main", "side")
    content = content_of(checkout(history.vault, "main", history.vault.folder / "out"))["config.json"]
    assert content == b'{\n  "a": true,\n  "b": 1.0\n}\n'


def test_a_tensor_that_they_added_to_a_shard_goes_to_that_shard(history, tmp_path):
    def shards(name, second):
        folder = tmp_path / name
        folder.mkdir()
        for path, tensors in {"1.safetensors": {"a": float32(len(name))}, "2.safetensors": second}.items():
            (folder / path).write_bytes(safetensors_bytes(tensors))
        return put_folder(history.vault, folder, kind="model")

    root = commit(history.vault, shards("base", {"b": float32(0.0)}), ref="main", message="")
    move_ref(history.vault, "side", root.id)
    commit(history.vault, shards("our version", {"b": float32(0.0)}), ref="main", message="")
    commit(history.vault, shards("side", {"b": float32(0.0), "c": float32(1.0)}), ref="side", message="")
    merge(history.vault, "main", "side", strategies=["a=ours"])
    located = read_manifest(history.vault, "main").located_tensors()
    assert {name: path for name, (path, _) in located.items()} == {
        "a": "1.safetensors", "b": "2.safetensors", "c": "2.safetensors"
    }  # fmt: skip


def metadata_of(vault, name: str) -> dict[str, str]:
    return next(file.metadata for file in read_manifest(vault, name).files if file.layout == "safetensors")


def test_the_metadata_that_one_side_changed_is_taken(history):
    history.fork(
        {"a": float32(0.0), "b": float32(0.0)}, {"a": float32(1.0), "b": float32(0.0)},
        {"a": float32(0.0), "b": float32(2.0)}, metadata=({"k": "0"}, {"k": "0"}, {"k": "2"}),
    )  # fmt: skip
    merge(history.vault, "main", "side")
    assert metadata_of(history.vault, "main") == {"k": "2"}
    assert history.tensors("main") == {"a": float32(1.0), "b": float32(2.0)}


def test_metadata_that_both_changed_is_a_conflict(history):
    one = {"a": float32(0.0)}
    history.fork(one, one, one, metadata=({"k": "0"}, {"k": "1"}, {"k": "2"}))
    for rules in ([], ["*=base"]):
        with pytest.raises(MergeConflictError, match=r"model\.safetensors::__metadata__"):
            merge(history.vault, "main", "side", strategies=rules)
    merge(history.vault, "main", "side", strategies=["model.safetensors=theirs"])
    assert metadata_of(history.vault, "main") == {"k": "2"}


def test_after_a_criss_cross_a_tensor_on_which_all_differ_is_a_conflict(history):
    root = history.commit("main", {"w": float32(0.0), "v": float32(0.0)})
    left = history.commit("left", {"w": float32(1.0), "v": float32(0.0)}, parents=[root])
    right = history.commit("right", {"w": float32(2.0), "v": float32(0.0)}, parents=[root])
    history.commit("left", {"w": float32(1.0), "v": float32(5.0)}, parents=[left, right])
    history.commit("right", {"w": float32(2.0), "v": float32(0.0)}, parents=[right, left])
    plan = plan_merge(history.vault, "left", "right")
    assert plan.bases == tuple(sorted([left, right]))
    assert {change.name: change.state for change in plan.tensors} == {"w": "conflict", "v": "ours"}
    for rule in ("w=base", "w=ties:weight=0.5"):
        with pytest.raises(MergeConflictError, match="no one base"):
            decide(plan, [rule])
    merge(history.vault, "left", "right", strategies=["w=slerp:t=0"])
    assert history.tensors("left") == {"w": float32(1.0), "v": float32(5.0)}


def test_unrelated_histories_need_a_base(history):
    history.commit("main", {"a": float32(1.0), "b": float32(0.0)})
    history.commit("side", {"a": float32(0.0), "b": float32(2.0)}, parents=[])
    base = history.put({"a": float32(0.0), "b": float32(0.0)})
    with pytest.raises(UnrelatedHistoriesError):
        merge(history.vault, "main", "side")
    merge(history.vault, "main", "side", base=base)
    assert history.tensors("main") == {"a": float32(1.0), "b": float32(2.0)}


def test_artefacts_of_two_kinds_are_not_merged(history):
    root = history.commit("main", {"a": float32(1.0)})
    history.commit("side", {"a": float32(1.0)}, parents=[root], kind="mask")
    history.commit("main", {"a": float32(2.0)})
    with pytest.raises(UnmergeableError, match="model and theirs a mask"):
        merge(history.vault, "main", "side")


def test_bad_rules_and_names_are_said_before_anything_is_done(history):
    history.fork({"w": float32(0.0)}, {"w": float32(1.0)}, {"w": float32(2.0)})
    before = state_of(history.vault)
    with pytest.raises(BadStrategyError):
        merge(history.vault, "main", "side", strategies=["w=mine"])
    for ref, theirs in (("main", "nobody"), ("nobody", "main")):
        with pytest.raises(UnknownNameError):
            merge(history.vault, ref, theirs)
    assert state_of(history.vault) == before


# Random histories. The expectation is worked out from the drawn states alone, by the definitions.

NAMES = tuple("abcdef")
VALUES = {number: float32(number / 4, 1.0, -number) for number in range(4)}


class Graph:
    """A small random history: the state of each version (a number a tensor), and the version with its ancestors."""

    def __init__(self, choice: random.Random, history: History):
        self._choice, self._history = choice, history
        self._names = NAMES[: choice.randint(2, 6)]
        self.states: dict[str, dict[str, int]] = {}
        self.ancestors: dict[str, frozenset[str]] = {}

    def add(self, *parents: str) -> str:
        """Commit a version that takes some of each parent and then changes a few tensors."""
        state = dict(self.states[parents[0]]) if parents else dict.fromkeys(self._names, 0)
        for parent in parents[1:]:
            state |= {name: value for name, value in self.states[parent].items() if self._choice.random() < 0.5}
        for name in self._names:
            if self._choice.random() < 0.3:
                state[name] = self._choice.randrange(len(VALUES))
            if self._choice.random() < 0.06:
                state.pop(name, None)
        tensors = {name: VALUES[state[name]] for name in sorted(state)}
        made = self._history.commit("scratch", tensors, parents=parents)
        self.states[made] = state
        self.ancestors[made] = frozenset({made}).union(*(self.ancestors[parent] for parent in parents))
        return made

    def two_versions(self) -> list[str]:
        """Two versions, neither the ancestor of the other if there are such."""
        pairs = [(one, two) for one in sorted(self.states) for two in sorted(self.states) if one != two]
        apart = [(one, two) for one, two in pairs if one not in self.ancestors[two] and two not in self.ancestors[one]]
        return list(self._choice.choice(apart if apart and self._choice.random() < 0.9 else pairs))


def draw_history(choice: random.Random, history: History):
    """Commit a small random graph; return its states, the ancestors of each version, and two of its versions."""
    graph = Graph(choice, history)
    graph.add()
    for _ in range(choice.randint(2, 5)):
        num_parents = min(len(graph.states), choice.choice([1, 1, 1, 2]))
        graph.add(*choice.sample(sorted(graph.states), k=num_parents))
    sides = graph.two_versions()
    if choice.random() < 0.3:  # each takes the other in: a criss-cross, if neither was behind
        sides = [graph.add(*sides), graph.add(*reversed(sides))]
    return graph.states, graph.ancestors, sides


def lowest(ancestors, ours: str, theirs: str) -> tuple[str, ...]:
    common = ancestors[ours] & ancestors[theirs]
    return tuple(sorted(one for one in common if not any(one in ancestors[other] - {other} for other in common)))


def settle(choice: random.Random, ours, theirs, bases: set):
    """Return a strategy that can settle a conflict, and what comes of it."""
    options = [("ours", ours), ("theirs", theirs)]
    if ours is not None and theirs is not None:
        one, two = (values_of(VALUES[value]) for value in (ours, theirs))
        options.append(("linear:weight=0.25/0.75", merge_linear([one, two], weights=[0.25, 0.75])))
        options.append(("slerp:t=0.25", merge_slerp(one, two, t=0.25)))
        if len(bases) == 1 and None not in bases:
            base = values_of(VALUES[next(iter(bases))])
            merged = merge_ties(base, [one, two], weights=[0.5, 0.5], densities=[0.5, 0.5])
            options.append(("ties:weight=0.5,density=0.5", merged))
    if len(bases) == 1:
        options.append(("base", next(iter(bases))))
    return choice.choice(options)


def bytes_of(value) -> bytes | None:
    return None if value is None else value.tobytes() if isinstance(value, np.ndarray) else VALUES[value][2]


def test_in_random_histories_nothing_is_chosen_silently(history, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda _handle: None)  # thousands of commits, none of which has to last
    choice = random.Random(20260101)
    seen = {"merged": 0, "up_to_date": 0, "fast_forward": 0, "conflict": 0, "criss-cross": 0}
    for _ in range(NUM_HISTORIES):
        states, ancestors, (ours, theirs) = draw_history(choice, history)
        bases = lowest(ancestors, ours, theirs)
        assert tuple(sorted(lowest_common_ancestors(history.vault, ours, theirs))) == bases
        move_ref(history.vault, "main", ours)
        seen[check_merge(choice, history, "main", states, (ours, theirs), bases, seen)] += 1
    assert min(seen.values()) >= NUM_HISTORIES // 50, seen  # each sort came up often enough to mean something


def check_merge(choice, history: History, branch: str, states, sides, bases, seen) -> str:
    ours, theirs = (states[side] for side in sides)
    expected: dict[str, object] = {}
    rules: dict[str, str] = {}
    for name in NAMES:
        one, two, before = ours.get(name), theirs.get(name), {states[base].get(name) for base in bases}
        if one == two or before == {two}:
            expected[name] = one
        elif before == {one}:
            expected[name] = two
        else:
            rules[name], expected[name] = settle(choice, one, two, before)
    is_merge = bases != (sides[1],) and bases != (sides[0],)
    seen["conflict"] += bool(rules)
    seen["criss-cross"] += len(bases) > 1
    if rules:
        left_out = choice.choice(sorted(rules))
        for given in ({}, {name: rule for name, rule in rules.items() if name != left_out}):
            with pytest.raises(MergeConflictError) as caught:
                merge(history.vault, branch, sides[1], strategies=[f"{name}={rule}" for name, rule in given.items()])
            assert {row["name"] for row in caught.value.fields["conflicts"]} == rules.keys() - given.keys()
        assert resolve(history.vault, branch) == sides[0]
    result = merge(history.vault, branch, sides[1], strategies=[f"{name}={rule}" for name, rule in rules.items()])
    assert (result.outcome == "merged") == is_merge
    merged = history.tensors(branch)
    if result.outcome != "up_to_date":
        assert {name: tensor[2] for name, tensor in merged.items()} == {
            name: bytes_of(value) for name, value in expected.items() if value is not None
        }
    if is_merge:
        assert {decision.name: decision.strategy for decision in result.decisions if decision.strategy} == rules
        assert {decision.name for decision in result.decisions if decision.what == "tensor"} == {
            name for name in NAMES if any(name in states[version] for version in (*sides, *bases))
        }
    return result.outcome
