"""A name that is accepted can always be stored, and never outside its folder."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.vault import BadNameError
from birdbone.vault.names import check_relative_path, full_ref_name

TRICKY = st.text("ab/.\\\0 -@{~^:*?[\n\ud800é", max_size=12) | st.text(max_size=12)


@given(TRICKY)
def test_a_ref_name_is_refused_or_is_a_path_below_refs(name):
    try:
        full = full_ref_name(name)
    except BadNameError:
        return
    parts = PurePosixPath(full).parts
    assert parts[:2] in (("refs", "heads"), ("refs", "tags"))
    assert "/".join(parts) == full
    assert not any(part.startswith(".") or "\0" in part or len(part.encode()) > 200 for part in parts)
    assert full_ref_name(full) == full


@given(TRICKY)
def test_a_path_is_refused_or_stays_in_its_folder(path):
    try:
        check_relative_path(path)
    except BadNameError:
        return
    pure = PurePosixPath(path)
    assert not pure.is_absolute()
    assert ".." not in pure.parts
    assert pure.as_posix() == path


UNSAFE = [
    *("", "/", "a/", "/a", "a//b", "..", "a/../b", "a..b", ".a", "a/.b", "a.", "a.lock", "a\0", "a b", "a:b", "a~1"),
    *("a^", "a*", "a?", "a[", "a\\b", "HEAD", "@", "a@{1}", "refs/", "refs/notes/a", "refs/heads/", "x" * 201),
    "b3:" + "0" * 64,
]


@pytest.mark.parametrize("name", UNSAFE)
def test_an_unsafe_ref_name_is_refused_with_a_hint(name):
    with pytest.raises(BadNameError) as caught:
        full_ref_name(name)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["main", "runs/demo-20260101-000000-ab12/wave-3", "v1.0", "été", "a+b=c@d#e,f"])
def test_an_ordinary_name_is_a_branch(name):
    assert full_ref_name(name) == f"refs/heads/{name}"


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a\\b", "a\0", "\udcff"])
def test_an_unsafe_path_is_refused(path):
    with pytest.raises(BadNameError):
        check_relative_path(path)
