"""A query finds what its words say, a missing figure matches nothing, and no byte of a tensor is read."""

import datetime as dt

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from birdbone.pipeline.recipe import NEEDS
from birdbone.vault import Lineage, collect_garbage, delete_ref, move_ref, put_file, put_folder, resolve_artefact
from birdbone.vault.errors import BadQueryError, CorruptObjectError, UnknownFieldError
from birdbone.vault.query import query_versions
from birdbone.vault.query.fields import FIELDS, FORGE_PHASES, PHASES, newest_measurements, phase_of
from birdbone.vault.query.matching import check_query

from ..checkpoints import float32, object_files, write_model
from ..histories import commit_on, figure, made, snapshot_of, snapshots

DATASET = "b3:" + "d" * 64


@pytest.fixture
def store(vault, tmp_path):
    """A run with two waves, the second undone; a file of another kind; a tag."""
    model = put_folder(vault, write_model(tmp_path / "model", a=float32(1.0), b=("F16", (2,), b"abcd")), kind="model")
    (tmp_path / "notes.txt").write_text("five!")
    report = put_file(vault, tmp_path / "notes.txt", kind="report")

    def of_run(step: str) -> Lineage:
        return Lineage(run_id="demo-1", step=step, datasets=(DATASET,))

    commit_on(vault, model, "main", day=0, message="dense model", lineage=of_run("seed"))
    rows = [figure("sparsity", 0.3), figure("sparsity", 0.4, low=0.39, high=0.41, sample_size=100)]
    first = commit_on(vault, model, "main", day=1, measurements=rows, lineage=of_run("wave-1"))
    rows = [figure("sparsity", 0.6, basis="estimated"), figure("perplexity", 20.5), figure("size", 77, unit="byte")]
    commit_on(vault, model, "try", day=2, parents=[first.id], measurements=rows, lineage=of_run("wave-2-try2"))
    commit_on(vault, report, "main", day=3, author="Bob", message="what Ada's waves came to")
    move_ref(vault, "refs/tags/v1", first.id)
    return vault


def days(matches) -> list[int]:
    return [match.version.time.timetuple().tm_yday - 1 for match in matches]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [3, 2, 1, 0]),
        ("sparsity > 0.5 and phase = 'compress'", [2]),
        ("sparsity > 35%", [2, 1]),
        ("sparsity = 0.4", [1]),
        ("sparsity = 0.3", []),
        ("not (sparsity > 0.5)", [1]),
        ("sparsity != 0.4", [2]),
        ("sparsity is null", [3, 0]),
        ("sparsity is not null", [2, 1]),
        ("sparsity > 0.5 or sparsity is null", [3, 2, 0]),
        ("sparsity.low < 0.4 and sparsity.high > 0.4 and sparsity.n = 100", [1]),
        ("sparsity.basis = 'estimated'", [2]),
        ("sparsity.low is null", [3, 2, 0]),
        ("perplexity.unit = '1'", [2]),
        ("size > 10", [2, 1, 0]),
        ("size = 5B", [3]),
        ("measurement.size = 77 and size.unit = 'byte'", [2]),
        ("kind = 'report'", [3]),
        ("num_tensors = 2", [2, 1, 0]),
        ("num_tensors is null", [3]),
        ("dtype = 'F16' and dtype = 'F32'", [2, 1, 0]),
        ("dtype != 'F16'", []),
        ("dtype is null", [3]),
        ("ref = 'v1' and ref = 'tags/v1' and ref = 'refs/tags/v1'", [1]),
        ("ref = 'HEAD' and ref = 'main'", [3]),
        ("ref != 'main'", [2, 1]),
        ("ref is null", [0]),
        ("branch = 'try'", [2, 1, 0]),
        ("branch = 'main' and branch != 'try'", [3]),
        ("step = 'seed'", [0]),
        ("step like 'wave-*'", [2, 1]),
        ("phase is null", [3, 0]),
        ("run = 'demo-1' and num_parents = 1", [2, 1]),
        ("dataset like 'b3:ddd*'", [2, 1, 0]),
        ("author in ('Bob', 'Eve')", [3]),
        ("author not in ('Bob', 'Eve')", [2, 1, 0]),
        ("message = 'what Ada''s waves came to'", [3]),
        ("message not like '*wave*' and time < '2026-01-02'", [0]),
        ("time > '2026-01-02'", [3, 2]),
        ("time >= '2026-01-02T01:00+01:00' and time <= '2026-01-03'", [2, 1]),
        ("time like '2026-01-04*'", [3]),
        ("time in ('2026-01-01', '2026-01-04')", [3, 0]),
    ],
)
def test_a_query_finds_what_it_says(store, query, expected):
    assert days(query_versions(store, query)) == expected


@settings(max_examples=60, deadline=None)
@given(snapshots(), st.sampled_from(["loss > 1", "loss = 2", "author = 'Ada'", "branch like 'ref*'"]))
def test_a_version_matches_a_test_its_negation_or_lacks_the_field(snapshot, test):
    name = test.split()[0]
    assume(name != "loss" or any(version.measurements for version in snapshot.versions.values()))
    found = [
        {id for id in snapshot.versions if check_query(query, snapshot).matches(id)}
        for query in (test, f"not ({test})", f"{name} is null")
    ]
    assert sum(map(len, found)) == len(snapshot.versions)
    assert set.union(*found) == set(snapshot.versions)


@settings(max_examples=60, deadline=None)
@given(snapshots())
def test_and_is_the_intersection_or_the_union_and_de_morgan_holds(snapshot):
    def found(query: str) -> set[str]:
        return {id for id in snapshot.versions if check_query(query, snapshot).matches(id)}

    a, b = "branch is null", "time > '2026-01-10'"
    assert found(f"{a} and {b}") == found(a) & found(b)
    assert found(f"{a} or {b}") == found(a) | found(b)
    maybe = "ref = 'ref0'"
    assert found(f"not ({maybe} or {b})") == found(f"not {maybe} and not {b}")
    assert found(f"not ({maybe} and {b})") == found(f"not {maybe} or not {b}")


@pytest.mark.parametrize(
    ("query", "message", "hint"),
    [
        ("sparsty > 1", "'sparsty'.\n  sparsty > 1\n  ^", "Did you mean sparsity"),
        (
            "kind = 'x' and xyzzy = 1",
            "'xyzzy'.\n  kind = 'x' and xyzzy = 1\n                 ^",
            "Fields are id, artefact",
        ),
        ("sparsity.mid > 1", "None of 4 versions has", "Did you mean sparsity"),
        ("size > 'big'", "size is a number; a text came.\n  size > 'big'\n         ^", "without quotes"),
        ("author = 3", "author is a text; a number came", "single quotes"),
        ("sparsity = '0.4'", "sparsity is a number; a text came", "without quotes"),
        ("sparsity like '0*'", "`like` compares texts", "Compare a number"),
        ("time > 3", "time is a time; a number came", "'2026-11-01'"),
        ("time > 'yesterday'", "time is a time; 'yesterday' is none", "'2026-11-01'"),
    ],
)
def test_a_name_or_a_type_that_fits_nothing_is_said(store, query, message, hint):
    with pytest.raises(BadQueryError) as caught:
        query_versions(store, query)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_rows_are_plain_and_hold_what_was_asked(store):
    (match,) = query_versions(store, "perplexity > 3 and ref = 'try'")
    assert match.row == {
        "id": match.id,
        "time": "2026-01-03T00:00:00+00:00",
        "ref": ["try"],
        "perplexity": 20.5,
        "message": "version 2",
    }
    rows = [match.row for match in query_versions(store, "ref is not null", columns=["ref", "sparsity", "dtype"])]
    assert rows == [
        {"ref": ["HEAD", "main"], "sparsity": None, "dtype": []},
        {"ref": ["try"], "sparsity": 0.6, "dtype": ["F16", "F32"]},
        {"ref": ["tags/v1"], "sparsity": 0.4, "dtype": ["F16", "F32"]},
    ]
    with pytest.raises(UnknownFieldError):
        query_versions(store, columns=["sparsitty"])


def test_the_order_is_by_value_and_what_has_none_comes_last(store):
    assert days(query_versions(store, order_by="sparsity")) == [1, 2, 3, 0]
    assert days(query_versions(store, order_by="sparsity desc")) == [2, 1, 3, 0]
    assert days(query_versions(store, order_by="author desc, time", limit=3)) == [3, 0, 1]
    assert query_versions(store, limit=0) == []
    with pytest.raises(BadQueryError, match="A limit is 0 or more"):
        query_versions(store, limit=-1)


def test_what_a_ref_left_is_found_in_the_whole_store_until_it_is_collected(store):
    delete_ref(store, "try")
    assert days(query_versions(store)) == [3, 1, 0]
    assert days(query_versions(store, scope="all")) == [3, 2, 1, 0]
    collect_garbage(store, dry_run=False, grace_seconds=-1, keep_undone_days=0)
    assert days(query_versions(store, scope="all")) == [3, 1, 0]


def test_an_empty_store_has_no_matches_and_syntax_still_counts(vault):
    assert query_versions(vault, "sparsity > 0.5", order_by="sparsity", columns=["sparsity"]) == []
    with pytest.raises(BadQueryError):
        query_versions(vault, "sparsity >")


def test_no_blob_is_read_and_no_manifest_unless_it_is_asked_for(store):
    for path in object_files(store):
        if path.parts[-3] == "blobs":
            path.unlink()
    assert days(query_versions(store, "size > 10 and dtype = 'F16'")) == [2, 1, 0]
    for path in object_files(store):
        if path.parts[-3] == "artefacts":
            path.write_bytes(b"damaged")
    assert days(query_versions(store, "sparsity > 0.5 and phase = 'compress'")) == [2]
    with pytest.raises(CorruptObjectError):
        query_versions(store, "size > 10")


def test_the_newest_figure_is_the_one_that_was_taken_last():
    def taken(value: float, hour: int | None) -> dict:
        moment = None if hour is None else dt.datetime(2026, 1, 1, hour, tzinfo=dt.UTC).isoformat()
        return figure("loss", value, taken_at=moment)

    rows = [taken(1, 9), taken(2, 11), taken(3, 10), taken(4, None), figure("other", 5), {"value": 6}]
    newest = newest_measurements(made(0, measurements=rows))
    assert {name: row["value"] for name, row in newest.items()} == {"loss": 2, "other": 5}
    again = newest_measurements(made(0, measurements=[*rows, taken(7, 11)]))
    assert again["loss"]["value"] == 7


def test_a_measurement_may_be_a_text_or_have_any_name():
    rows = [figure("verdict", "pass"), figure("acc@5 of top", 0.5)]
    snapshot = snapshot_of(version := made(0, measurements=rows), other := made(1, measurements=[figure("verdict", 1)]))
    assert check_query("\"acc@5 of top\" = 50% and verdict = 'pass'", snapshot).matches(version.id)
    assert not check_query("verdict = 'pass'", snapshot).matches(other.id)
    assert not check_query("verdict > 'a'", snapshot).matches(other.id)


@pytest.mark.parametrize(
    ("step", "phase"),
    [
        ("wave-12", "compress"),
        ("wave-3-try2", "compress"),
        ("low_rank-try2", "compress"),
        ("seed", None),
        ("version", None),
        ("evomerge", "evomerge"),
        ("experts-try3", "experts"),
        ("a step of one's own", None),
        ("", None),
    ],
)
def test_the_phase_is_read_off_the_step(step, phase):
    assert phase_of(step) == phase


def test_every_phase_is_of_a_step_that_recipes_have():
    kinds = {{"waves": "wave", "shed": "cut"}.get(kind, kind) for kind in NEEDS}
    assert set(PHASES) <= kinds
    assert kinds - set(PHASES) == {"seed", "export", "judge", "version"}
    assert not FORGE_PHASES & kinds


def test_the_fields_do_not_change_by_accident(store):
    assert set(query_versions(store, columns=list(FIELDS), limit=1)[0].row) == set(FIELDS)
    assert resolve_artefact(store, "main") == query_versions(store, limit=1, columns=["artefact"])[0].row["artefact"]
