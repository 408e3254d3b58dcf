"""Sizes, bits a weight, bytes a token."""

from __future__ import annotations

from birdbone.evaluate import bytes_per_token, bytes_per_token_measurement, size_measurements


def test_size_and_bits_come_from_the_stored_bytes() -> None:
    size, bits = size_measurements(artefact="b3:1", size_bytes=1000, num_weights=2000)
    assert (size.name, size.value, size.unit) == ("size", 1000, "byte")
    assert (bits.name, bits.value, bits.unit, bits.basis) == ("bits_per_weight", 4.0, "bit/weight", "measured")
    assert "2,000 weights" in bits.method


def test_a_table_that_is_only_looked_up_counts_one_row() -> None:
    tensors = {"token_embd": 1000, "blk.0.ffn_up": 300, "output": 1000}
    assert bytes_per_token(tensors) == 2300
    assert bytes_per_token(tensors, lookup_rows={"token_embd": 100}) == 1310
    row = bytes_per_token_measurement(tensors, artefact="b3:1", lookup_rows={"token_embd": 100})
    assert (row.value, row.basis) == (1310, "estimated")
