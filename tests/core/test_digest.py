from pathlib import Path

from blake3 import blake3
from hypothesis import given
from hypothesis import strategies as st

from birdbone.core import digest_bytes, digest_file, digest_json


@given(st.binary(max_size=4096))
def test_a_digest_is_blake3_and_says_so(data: bytes) -> None:
    assert digest_bytes(data) == f"b3:{blake3(data).hexdigest()}"
    assert digest_bytes(memoryview(data)) == digest_bytes(data)


def test_a_file_has_the_digest_of_its_bytes_also_when_it_is_empty(tmp_path: Path) -> None:
    for data in (b"", b"a", bytes(range(256)) * 5000):
        path = tmp_path / "file"
        path.write_bytes(data)
        assert digest_file(path) == digest_bytes(data)


@given(st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=8), max_size=6))
def test_the_order_of_keys_does_not_matter(values: dict[str, object]) -> None:
    backwards = dict(reversed(values.items()))
    assert digest_json(values) == digest_json(backwards)
