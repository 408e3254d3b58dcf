"""The diff bundle: a folder that a reviewer reads before saying yes to a version.

`diff.html` for the eye, `diff.md` for a pull request, `diff.json` for a program, and both manifests. It holds no clock
and no path of this machine: two people who bundle the same two versions get the same bytes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from birdbone.core.files import write_atomically, write_json
from birdbone.vault.diff.comparison import Comparison, MeasurementPair, Side, compare_versions, comparison_json
from birdbone.vault.diff.files import FileDiff
from birdbone.vault.diff.groups import ChangeTotals, LayerDiff, RoleDiff, group_by_layer
from birdbone.vault.diff.names import ManifestDiff, NameDiff
from birdbone.vault.diff.page import render_page
from birdbone.vault.diff.roles import layer_of
from birdbone.vault.diff.tensors import TensorDiff
from birdbone.vault.diff.wording import (
    NONE,
    arrow_words,
    cosine_words,
    count_words,
    measured_words,
    number_words,
    percent_words,
    quantization_words,
    rank_change_words,
    shape_words,
)
from birdbone.vault.folder import Vault, explain_write_errors

__all__ = ["LayerDiff", "group_by_layer", "layer_of", "write_bundle", "write_diff_bundle", "write_page"]

_MAX_TENSOR_ROWS = 20
_MAX_FILE_LINES = 60


def write_diff_bundle(vault: Vault, before: str, after: str, folder: Path) -> Path:
    """Return `folder`, now with `diff.html`, `diff.json`, `diff.md`, `manifest-before.json` and `manifest-after.json`.

    Args:
        before: a ref, a version or an artefact; of a version the measurements are compared as well.
        after: likewise.
        folder: made if missing; files of these five names in it are replaced.
    """
    return write_bundle(compare_versions(vault, before, after), folder)


def write_bundle(comparison: Comparison, folder: Path) -> Path:
    """Write the five files of a bundle and return `folder`.

    Raises:
        DiskFullError, ReadOnlyVaultError: the folder cannot take them.
    """
    with explain_write_errors(folder):
        write_json(folder / "manifest-before.json", comparison.before.manifest.model_dump(mode="json"))
        write_json(folder / "manifest-after.json", comparison.after.manifest.model_dump(mode="json"))
        write_json(folder / "diff.json", comparison_json(comparison))
        with write_atomically(folder / "diff.md") as stream:
            stream.write(_as_markdown(comparison).encode())
        write_page(comparison, folder / "diff.html")
    return folder


def write_page(comparison: Comparison, path: Path) -> Path:
    """Write the page of a comparison to `path`, whole or not at all, and return the path."""
    with explain_write_errors(path), write_atomically(path) as stream:
        stream.write(render_page(comparison).encode())
    return path


def _as_markdown(comparison: Comparison) -> str:
    parts = [
        "# What changed\n",
        _table(("", "before", "after"), _side_rows(comparison.before, comparison.after)),
        _names_section(comparison.names),
        _measurements_section(comparison.measurements),
        _roles_section(comparison.roles),
        _layers_section(comparison.layers),
        _tensors_section(comparison.tensors),
        _files_section(comparison.files),
    ]
    return "\n".join(part for part in parts if part)


def _side_rows(old: Side, new: Side) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("artefact", f"`{old.artefact[:19]}`", f"`{new.artefact[:19]}`"),
        ("kind", old.manifest.kind, new.manifest.kind),
        ("size", f"{old.manifest.size_bytes:,} B", f"{new.manifest.size_bytes:,} B"),
    ]
    for title, attribute in (("version", "id"), ("author", "author"), ("message", "message")):
        values = tuple(getattr(side.version, attribute)[:80] if side.version else NONE for side in (old, new))
        rows.append((title, *values))
    return rows


def _names_section(names: ManifestDiff) -> str:
    groups: tuple[tuple[str, NameDiff], ...] = (
        ("tensors", names.tensors),
        ("files", names.files),
        ("metadata", names.metadata),
    )
    rows = [(t, *(str(len(v)) for v in (n.added, n.removed, n.changed, n.same))) for t, n in groups]
    listed = [
        f"- {what} {title[:-1] if title != 'metadata' else title}: `{name}`"
        for title, group in groups
        for what, found in (("added", group.added), ("removed", group.removed), ("changed", group.changed))
        for name in (found if title != "tensors" or what != "changed" else ())
    ]
    table = _table(("", "added", "removed", "changed", "same"), rows)
    return "\n".join(("## Names\n", table, *listed, *([""] if listed else [])))


def _measurements_section(rows: Sequence[MeasurementPair]) -> str:
    if not rows:
        return ""
    cells = [(row.name, measured_words(row.before), measured_words(row.after)) for row in rows]
    return "## Measurements\n\n" + _table(("name", "before", "after"), cells)


def _roles_section(roles: Sequence[RoleDiff]) -> str:
    if not roles:
        return ""
    return "## By role\n\n" + _table(("role", *_TOTALS), [(role.role, *_totals_cells(role)) for role in roles])


def _layers_section(layers: Sequence[LayerDiff]) -> str:
    if not layers:
        return ""
    cells = [(f"`{layer.layer}`", *_totals_cells(layer)) for layer in layers]
    note = (
        "Largest relative change first. Shares, and the norm that L2 is relative to, are of the changed tensors only.\n"
    )
    return f"## By layer\n\n{note}\n{_table(('layer', *_TOTALS), cells)}"


_TOTALS = ("tensors", "changed", "zeroed", "regrown", "L2", "relative L2", "mask Jaccard", "sparsity before", "after")


def _totals_cells(totals: ChangeTotals) -> tuple[str, ...]:
    return (
        str(totals.num_tensors),
        count_words(totals.num_changed, totals.num_elements),
        count_words(totals.num_zeroed),
        count_words(totals.num_regrown),
        number_words(totals.l2),
        percent_words(totals.relative_l2),
        cosine_words(totals.mask_jaccard),
        percent_words(totals.sparsity_before),
        percent_words(totals.sparsity_after),
    )


def _tensors_section(tensors: Sequence[TensorDiff]) -> str:
    if not tensors:
        return ""
    ranked = sorted(tensors, key=lambda tensor: (-(tensor.l2 if tensor.l2 is not None else float("inf")), tensor.name))
    header = ("tensor", "quantization", "shape", "changed", "L2", "cosine", "sparsity before", "after", "rank change")
    cells = [_tensor_row(tensor) for tensor in ranked[:_MAX_TENSOR_ROWS]]
    title = f"## Tensors with the largest changes ({len(cells)} of {len(ranked)})"
    return f"{title}\n\n{_table(header, cells)}"


def _tensor_row(tensor: TensorDiff) -> tuple[str, ...]:
    return (
        f"`{tensor.name}`",
        quantization_words(tensor),
        arrow_words(shape_words(tensor.shape_before), shape_words(tensor.shape_after)),
        count_words(tensor.num_changed, tensor.num_elements),
        number_words(tensor.l2),
        cosine_words(tensor.cosine),
        percent_words(tensor.sparsity_before),
        percent_words(tensor.sparsity_after),
        rank_change_words(tensor),
    )


def _files_section(files: Sequence[FileDiff]) -> str:
    changed = [file for file in files if file.change == "changed"]
    if not changed:
        return ""
    return "## Files\n\n" + "\n".join("\n".join(_file_lines(file)) for file in changed)


def _file_lines(file: FileDiff) -> Iterator[str]:
    lines = [*_note_lines(file), *_vocabulary_lines(file), *_value_lines(file), *_text_lines(file)]
    yield f"### `{file.path}`\n"
    if lines:
        fence = "`" * (3 + max(len(list(run)) for run in _runs_of_ticks(lines)))
        yield f"{fence}diff"
        yield from lines[:_MAX_FILE_LINES]
        yield fence
    if len(lines) > _MAX_FILE_LINES:
        yield f"\nThe first {_MAX_FILE_LINES} of {len(lines):,} lines; `diff.json` has all."
    yield ""


def _runs_of_ticks(lines: Iterable[str]) -> Iterator[list[str]]:
    yield []
    for line in lines:
        yield from (list(run) for sign, run in itertools.groupby(line) if sign == "`")


def _note_lines(file: FileDiff) -> list[str]:
    return [file.note] if file.note else []


def _vocabulary_lines(file: FileDiff) -> Iterator[str]:
    words = file.vocabulary
    if words is None:
        return
    yield f"# {words.num_tokens_before:,} tokens before, {words.num_tokens_after:,} after"
    yield f"# merge rules: {words.num_merges_added:,} added, {words.num_merges_removed:,} removed"
    yield from (f"- {index}: {token!r}" for token, index in words.removed)
    yield from (f"+ {index}: {token!r}" for token, index in words.added)
    yield from (f"! {move.token!r}: {move.id_before} -> {move.id_after}" for move in words.moved)


def _value_lines(file: FileDiff) -> Iterator[str]:
    for change in file.values:
        yield from (f"{sign} {change.path}: {side}" for sign, side in (("-", change.old), ("+", change.new)) if side)


def _text_lines(file: FileDiff) -> Iterator[str]:
    for text in file.texts:
        if text.path:
            yield f"# {text.path}"
        yield from text.lines


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
