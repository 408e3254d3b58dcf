"""Clusters and thresholds at the command line, on the tiny model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

READ = ("--windows", "4", "--window", "32", "--threads", "1")


def test_clusters_are_told_written_and_followed(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    words = ("compress", "clusters", str(tiny_model_folder), *READ, "--layer", "1")
    first = call(*words, "--clusters", "3", "--out", "found")
    assert first.exit_code == 0, first.stderr
    assert "layer 1" in first.stdout
    assert {path.name for path in (folder / "found").iterdir()} == {
        "clusters.html", "clusters.json", "clusters.csv", "clusters.parquet"
    }  # fmt: skip
    again = call(*words, "--method", "agglomerative", "--against", "found/clusters.json", "--json")
    assert again.exit_code == 0, again.stderr
    told = json.loads(again.stdout)
    assert told["settings"]["method"]["kind"] == "agglomerative"
    assert told["against"]["name"] == "clusters.json"
    assert sum(map(sum, told["against"]["shared"])) == len(told["unit_cluster"]) == 160
    assert told["text"]["num_windows"] == 4
    heads = call("compress", "clusters", str(tiny_model_folder), "--units", "heads", "--against", "found/clusters.json")
    assert heads.exit_code == 2
    assert "speaks of neurons; heads were asked for" in heads.stderr


def test_thresholds_are_searched_judged_and_gone_on_with(call: Any, folder: Path, tiny_model_folder: Path) -> None:
    words = ("compress", "tune", str(tiny_model_folder), "--windows", "2", "--judged", "8", "--window", "32",
             "--threads", "1", "--clusters", "2", "--history", "search.jsonl")  # fmt: skip
    first = call(*words, "--trials", "2", "--out", "found")
    assert first.exit_code == 0, first.stderr
    assert "even share" in first.stdout
    assert "perplexity" in first.stdout.splitlines()[-1]
    written = json.loads((folder / "found" / "thresholds.json").read_text(encoding="utf-8"))
    assert len(written["trials"]) == 2
    more = call(*words, "--trials", "3", "--json")
    assert more.exit_code == 0, more.stderr
    told = json.loads(more.stdout)
    assert told["trials"][:2] == written["trials"]
    assert len(told["trials"]) == 3
    even, as_set, searched = told["judged"]
    assert (even["name"], even["ratio"]) == ("even share", None)
    assert even["shed"] == pytest.approx(0.5, abs=0.01)
    assert as_set["shed"] == pytest.approx(even["shed"], abs=0.002)
    assert searched["ratio"]["low"] <= searched["ratio"]["value"] <= searched["ratio"]["high"]
    assert len(told["thresholds"]) == 8
    other = call(*words, "--trials", "3", "--target", "0.4")
    assert other.exit_code == 4
    assert "compress.other_history" in other.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("clusters", "--method", "magic"), 2, "--method takes kmeans, hdbscan, agglomerative"),
        (("clusters", "--method", "hdbscan", "--clusters", "3"), 2, "HDBSCAN finds its own number"),
        (("clusters", "--units", "rows"), 2, "--units takes neurons, heads"),
        (("clusters", "--layer", "9"), 3, "There is no layer 9"),
        (("clusters", "--against", "no.json"), 2, "compress.bad_cluster_file"),
        (("clusters", "--units", "heads", "--layer", "0", "--clusters", "7"), 2, "4 units are too few"),
        (("tune", "--balance", "both"), 2, "--balance takes layer, model"),
        (("tune", "--objective", "speed"), 2, "--objective takes loss, size-loss"),
    ],
)
def test_what_cannot_be_done_is_refused(
    call: Any, folder: Path, tiny_model_folder: Path, words: tuple[str, ...], code: int, told: str
) -> None:
    rest = READ if words[0] == "clusters" else ("--threads", "1")
    result = call("compress", words[0], str(tiny_model_folder), *words[1:], *rest)
    assert result.exit_code == code
    assert told in result.stderr
