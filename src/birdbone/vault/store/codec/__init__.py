"""Lossless forms of a blob's bytes: raw, byte planes, sparse, and as a change of another blob. Pure functions."""
