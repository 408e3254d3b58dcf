"""What comes before what: equal to a plain model on any history, and where git is there, equal to git."""

import shutil
import subprocess

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birdbone.vault import log, move_ref, open_vault
from birdbone.vault.ancestry import walk_ancestors
from birdbone.vault.history.commits import can_fast_forward, count_ahead_behind, is_ancestor, merge_bases

from .shapes import ancestors_in, plant, shapes

few = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One store for all examples: equal versions are written once."""
    return open_vault(tmp_path_factory.mktemp("histories") / "store")


@few
@given(shapes(), st.data())
def test_ancestors_merge_bases_and_counts_equal_a_plain_model(shared, shape, data):
    vault, ids = shared, plant(shared, shape)
    before = ancestors_in(shape)
    one, other = (data.draw(st.integers(0, len(shape) - 1)) for _ in range(2))
    common = before[one] & before[other]
    lowest = {place for place in common if not any(place in before[above] - {above} for above in common)}
    assert set(walk_ancestors(vault, ids[one])) == {ids[place] for place in before[one]}
    assert is_ancestor(vault, ids[one], ids[other]) == (one in before[other])
    assert set(merge_bases(vault, ids[one], ids[other])) == {ids[place] for place in lowest}
    ahead, behind = len(before[one] - before[other]), len(before[other] - before[one])
    assert count_ahead_behind(vault, ids[one], ids[other]) == (ahead, behind)


@few
@given(shapes(), st.data())
def test_the_log_of_a_range_has_what_one_follows_and_the_other_does_not(shared, shape, data):
    vault, ids = shared, plant(shared, shape)
    before = ancestors_in(shape)
    one, other = (data.draw(st.integers(0, len(shape) - 1)) for _ in range(2))
    shown = [version.id for version in log(vault, f"{ids[one]}..{ids[other]}")]
    assert set(shown) == {ids[place] for place in before[other] - before[one]}
    both = [version.id for version in log(vault, f"{ids[one]}...{ids[other]}")]
    assert set(both) == {ids[place] for place in before[other] ^ before[one]}
    for versions in (shown, both, [version.id for version in log(vault, ids[one])]):
        places = [ids.index(version) for version in versions]
        assert len(set(places)) == len(places)
        assert not any(later in shape[place] for at, later in enumerate(places) for place in places[at + 1 :])


def test_two_branches_that_were_merged_into_each_other_have_two_merge_bases(vault):
    ids = plant(vault, [(), (0,), (0,), (1, 2), (2, 1), (3,), (4,)])
    assert merge_bases(vault, ids[5], ids[6]) == [ids[2], ids[1]]


def test_histories_without_a_common_beginning_have_no_merge_base(vault):
    ids = plant(vault, [(), ()])
    assert merge_bases(vault, *ids) == []
    assert log(vault, f"{ids[0]}...{ids[1]}") == log(vault, ids[1]) + log(vault, ids[0])


def test_a_ref_can_go_forward_to_what_follows_it_and_a_missing_one_anywhere(vault):
    ids = plant(vault, [(), (0,), (0,)])
    move_ref(vault, "main", ids[1])
    assert can_fast_forward(vault, "other", ids[2])
    assert can_fast_forward(vault, "main", ids[1])
    assert not can_fast_forward(vault, "main", ids[2])
    assert not can_fast_forward(vault, "main", ids[0])


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not there to compare with")
def test_steps_ranges_and_merge_bases_mean_what_they_mean_to_git(vault, tmp_path):
    shape = [(), (0,), (0,), (1, 2), (2, 1), (3,), (4, 3), (6,)]
    ids = plant(vault, shape)
    theirs = commit_to_git(tmp_path, shape)
    for place, name in enumerate(ids):
        move_ref(vault, f"v{place}", name)
        git(tmp_path, "branch", f"v{place}", theirs[place])
    revisions = ["v7~2", "v7^", "v7^^2", "v6^2", "v6^2^2~1", "v6^1", "v3^0", "v7~0", "v7~1^2^2~1"]
    for revision in revisions:
        assert log(vault, revision)[0].message == git(tmp_path, "log", "-1", "--format=%s", revision)
    for span in ("v5..v7", "v7..v5", "v5...v7", "v1..v7", "v7~2..v7^^2"):
        ours = {version.message for version in log(vault, span)}
        assert ours == set(git(tmp_path, "log", "--format=%s", span).split())
    for one, other in (("v5", "v6"), ("v3", "v4"), ("v7", "v0"), ("v1", "v2")):
        ours = {theirs[ids.index(version)] for version in merge_bases(vault, one, other)}
        assert ours == set(git(tmp_path, "merge-base", "--all", one, other).split())


def commit_to_git(folder, shape) -> list[str]:
    git(folder, "init", "--quiet")
    tree = git(folder, "hash-object", "-t", "tree", "-w", "/dev/null")
    commits: list[str] = []
    for place, parents in enumerate(shape):
        arguments = [word for parent in parents for word in ("-p", commits[parent])]
        commits.append(git(folder, "commit-tree", tree, "-m", str(place), *arguments))
    return commits


def git(folder, *arguments: str) -> str:
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    command = ["git", "-C", str(folder), *who, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
