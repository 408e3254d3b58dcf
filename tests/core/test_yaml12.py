from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from birdbone.core import read_yaml, write_yaml
from birdbone.core.errors import YamlError

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text("abc é:#-'\"no", max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def test_yaml_is_of_version_1_2() -> None:
    assert read_yaml("{rate: 3e-4, answer: no, octal: 010}") == {"rate": 3e-4, "answer": "no", "octal": 10}


@given(PLAIN)
def test_what_is_written_reads_back(value: object) -> None:
    assert read_yaml(write_yaml(value)) == value


def test_a_file_holds_what_was_returned(tmp_path: Path) -> None:
    text = write_yaml({"b": 1, "a": [1, 2]}, tmp_path / "x.yaml")
    assert (tmp_path / "x.yaml").read_text(encoding="utf-8") == text


@pytest.mark.parametrize("text", ["a: [1", "a: 1\na: 2", "\tx: 1", "!!python/object:os.system {}"])
def test_what_does_not_parse_names_the_place(text: str) -> None:
    with pytest.raises(YamlError) as caught:
        read_yaml(text, name="recipe.yaml")
    assert "recipe.yaml" in caught.value.message
