"""Bytes by their digest: packs of blobs, each in the smallest form that reads back right, and records as files."""
