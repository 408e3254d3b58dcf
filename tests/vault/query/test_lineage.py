"""Lineage names everything that a version came from, once, and the terminal shows it as git would."""

import json

import pytest

from birdbone.vault import Lineage, UnknownNameError, put_file
from birdbone.vault.query import query_versions, take_snapshot
from birdbone.vault.query.lineage import build_lineage, draw_log

from ..histories import ARTEFACT, commit_on, made, snapshot_of

DATASET = "b3:" + "d" * 64


def of_run(step: str) -> Lineage:
    return Lineage(run_id="demo-1", step=step, datasets=(DATASET,))


def test_the_graph_has_versions_artefacts_steps_runs_and_datasets_once_each():
    first = made(0, lineage=of_run("seed"))
    second = made(1, first, lineage=of_run("wave-1"))
    third = made(2, second, first, lineage=Lineage(run_id="demo-2"))
    graph = build_lineage(snapshot_of(first, second, third, main=third))
    assert [(node.kind, node.id) for node in graph.nodes] == [
        *(("version", version.id) for version in (third, second, first)),
        ("artefact", ARTEFACT),
        ("run", "demo-2"),
        ("dataset", DATASET),
        ("step", "demo-1/wave-1"),
        ("run", "demo-1"),
        ("step", "demo-1/seed"),
    ]
    assert {(edge.kind, edge.source, edge.target) for edge in graph.edges} == {
        ("follows", third.id, second.id),
        ("follows", third.id, first.id),
        ("follows", second.id, first.id),
        *(("keeps", version.id, ARTEFACT) for version in (first, second, third)),
        ("made_by", third.id, "demo-2"),
        ("made_by", second.id, "demo-1/wave-1"),
        ("made_by", first.id, "demo-1/seed"),
        ("part_of", "demo-1/wave-1", "demo-1"),
        ("part_of", "demo-1/seed", "demo-1"),
        ("from", second.id, DATASET),
        ("from", first.id, DATASET),
    }
    assert len(set(graph.edges)) == len(graph.edges)
    assert json.loads(json.dumps(graph.to_dict()))["nodes"][0]["label"] == "version 2"


def test_a_dataset_that_is_kept_in_a_version_is_one_node():
    data = made(0)
    model = made(1, lineage=Lineage(datasets=(ARTEFACT,)))
    kinds = [node.kind for node in build_lineage(snapshot_of(data, model)).nodes]
    assert kinds == ["version", "version", "dataset"]


def test_the_log_of_a_store_shows_lanes_refs_and_messages(vault, tmp_path):
    (tmp_path / "a.txt").write_text("a")
    artefact = put_file(vault, tmp_path / "a.txt", kind="report")
    root = commit_on(vault, artefact, "main", day=0, message="dense")
    side = commit_on(vault, artefact, "side", day=1, parents=[root.id], message="wave 1\n\nall the rest")
    trunk = commit_on(vault, artefact, "main", day=2, message="other")
    merge = commit_on(vault, artefact, "main", day=3, parents=[trunk.id, side.id], message="both")
    shown = [str(line) for line in draw_log(take_snapshot(vault))]
    assert shown == [
        f"● {merge.id[3:13]} (HEAD -> main) both",
        "├─╮",
        f"│ ● {side.id[3:13]} (side) wave 1",
        f"● │ {trunk.id[3:13]} other",
        "├─╯",
        f"● {root.id[3:13]} dense",
    ]
    assert [line.node for line in draw_log(take_snapshot(vault), names=["side"])] == [side.id, root.id]
    assert [line.node for line in draw_log(take_snapshot(vault), limit=2)] == [merge.id, None, side.id]
    assert len(query_versions(vault)) == 4


def test_a_log_begins_from_any_name_of_a_version():
    root = made(0)
    left, right = made(1, root), made(2, root)
    snapshot = snapshot_of(root, left, right, main=left, head="main", tag_v1=right)
    for name in ("HEAD", "main", "refs/heads/main", left.id, left.id[:20], left.id[3:12]):
        assert [line.node for line in draw_log(snapshot, names=[name])] == [left.id, root.id]
    assert {line.node for line in draw_log(snapshot, names=["main", "v1"])} == {left.id, right.id, root.id, None}
    for name in ("nobody", "", "b3:"):
        with pytest.raises(UnknownNameError):
            draw_log(snapshot, names=[name])


def test_a_message_cannot_steer_the_terminal():
    snapshot = snapshot_of(made(0, message="red \x1b[31malert\x07"))
    assert str(draw_log(snapshot)[0]).endswith("red �[31malert�")


def test_a_store_without_versions_has_no_lines(vault):
    snapshot = take_snapshot(vault)
    assert draw_log(snapshot) == []
    assert build_lineage(snapshot).to_dict() == {"nodes": (), "edges": ()}
