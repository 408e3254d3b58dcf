"""The diff bundle: a folder that a reviewer reads before saying yes to a version.

`diff.md` for the eye, `diff.json` for a program, and both manifests. It holds no clock and no path of this machine: two
people who bundle the same two versions get the same bytes.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from birdbone.core.files import write_atomically, write_json
from birdbone.vault.diff import ManifestDiff, NameDiff, TensorDiff, diff_manifests, diff_tensors, rounded
from birdbone.vault.errors import UnknownNameError
from birdbone.vault.folder import Vault, explain_write_errors
from birdbone.vault.lookup import read_manifest, read_version, resolve, resolve_artefact
from birdbone.vault.records import Manifest, Version

_LAYER = re.compile(r"^(.*?\.\d+)\.")
_MAX_TENSOR_ROWS = 20
_NONE = "—"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerDiff:
    """The changed tensors of one layer taken together; what is None could not be compared."""

    layer: str
    num_tensors: int
    num_elements: int
    num_changed: int | None
    num_zeroed: int | None
    num_regrown: int | None
    l2: float | None
    relative_l2: float | None
    sparsity_before: float | None
    sparsity_after: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    artefact: str
    version: Version | None
    manifest: Manifest


def write_diff_bundle(vault: Vault, before: str, after: str, folder: Path) -> Path:
    """Return `folder`, now with `diff.json`, `diff.md`, `manifest-before.json` and `manifest-after.json`.

    Args:
        before: a ref, a version or an artefact; of a version the measurements are compared as well.
        after: likewise.
        folder: made if missing; files of these four names in it are replaced.
    """
    old, new = _read_side(vault, before), _read_side(vault, after)
    names = diff_manifests(old.manifest, new.manifest)
    tensors = diff_tensors(vault, old.artefact, new.artefact)
    layers = group_by_layer(tensors)
    with explain_write_errors(folder):
        write_json(folder / "manifest-before.json", old.manifest.model_dump(mode="json"))
        write_json(folder / "manifest-after.json", new.manifest.model_dump(mode="json"))
        write_json(folder / "diff.json", _as_json(old, new, names=names, tensors=tensors, layers=layers))
        with write_atomically(folder / "diff.md") as stream:
            stream.write(_as_markdown(old, new, names=names, tensors=tensors, layers=layers).encode())
    return folder


def group_by_layer(tensors: Iterable[TensorDiff]) -> list[LayerDiff]:
    """Return the changes layer by layer, the largest relative change first, then by name.

    A layer is the name up to its first number (`model.layers.3`); a tensor outside any layer stands for itself.
    """
    groups: dict[str, list[TensorDiff]] = {}
    for tensor in tensors:
        groups.setdefault(layer_of(tensor.name), []).append(tensor)
    return sorted((_sum_layer(layer, members) for layer, members in groups.items()), key=_by_change)


def layer_of(name: str) -> str:
    """Return the layer that a tensor's name says it belongs to."""
    match = _LAYER.match(name)
    return match[1] if match else name


def _read_side(vault: Vault, name: str) -> _Side:
    try:
        version = read_version(vault, resolve(vault, name))
    except UnknownNameError:
        version = None
    artefact = version.artefact if version else resolve_artefact(vault, name)
    return _Side(artefact=artefact, version=version, manifest=read_manifest(vault, artefact))


def _sum_layer(layer: str, members: Sequence[TensorDiff]) -> LayerDiff:
    squares = _total([None if t.l2 is None else t.l2**2 for t in members])
    squares_before = _total([None if t.l2_before is None else t.l2_before**2 for t in members])
    num_elements = sum(t.num_elements for t in members)
    zero_before, zero_after = _total([t.num_zero_before for t in members]), _total([t.num_zero_after for t in members])
    return LayerDiff(
        layer=layer,
        num_tensors=len(members),
        num_elements=num_elements,
        num_changed=_total([t.num_changed for t in members]),
        num_zeroed=_total([t.num_zeroed for t in members]),
        num_regrown=_total([t.num_regrown for t in members]),
        l2=None if squares is None else rounded(math.sqrt(squares)),
        relative_l2=_ratio(squares, squares_before, power=0.5),
        sparsity_before=_ratio(zero_before, num_elements),
        sparsity_after=_ratio(zero_after, num_elements),
    )


def _total(values: Sequence[Any]) -> Any:
    return None if any(value is None for value in values) else sum(values)


def _ratio(part: float | None, whole: float | None, *, power: float = 1.0) -> float | None:
    return None if part is None or not whole else rounded((part / whole) ** power)


def _by_change(layer: LayerDiff) -> tuple[float, str]:
    return (-math.inf if layer.relative_l2 is None else -layer.relative_l2), layer.layer


def _as_json(
    old: _Side, new: _Side, *, names: ManifestDiff, tensors: Sequence[TensorDiff], layers: Sequence[LayerDiff]
) -> dict[str, Any]:
    return {
        "format": "birdbone.diff/1",
        "before": _side_json(old),
        "after": _side_json(new),
        "names": dataclasses.asdict(names),
        "measurements": _paired_measurements(old.version, new.version),
        "layers": [dataclasses.asdict(layer) for layer in layers],
        "tensors": [
            {
                **dataclasses.asdict(tensor),
                "sparsity_before": tensor.sparsity_before,
                "sparsity_after": tensor.sparsity_after,
            }
            for tensor in tensors
        ],
    }


def _side_json(side: _Side) -> dict[str, Any]:
    version = {"version": side.version.id, **side.version.model_dump(mode="json")} if side.version else {}
    return {"artefact": side.artefact, "kind": side.manifest.kind, "size_bytes": side.manifest.size_bytes, **version}


def _paired_measurements(before: Version | None, after: Version | None) -> list[dict[str, Any]]:
    old, new = _by_name(before), _by_name(after)
    return [{"name": name, "before": old.get(name), "after": new.get(name)} for name in sorted(old.keys() | new.keys())]


def _by_name(version: Version | None) -> dict[str, Any]:
    rows = version.measurements if version else ()
    return {str(row["name"]): dict(row) for row in rows if "name" in row}


def _as_markdown(
    old: _Side, new: _Side, *, names: ManifestDiff, tensors: Sequence[TensorDiff], layers: Sequence[LayerDiff]
) -> str:
    parts = [
        "# What changed\n",
        _table(("", "before", "after"), _side_rows(old, new)),
        _names_section(names),
        _measurements_section(_paired_measurements(old.version, new.version)),
        _layers_section(layers),
        _tensors_section(tensors),
    ]
    return "\n".join(part for part in parts if part)


def _side_rows(old: _Side, new: _Side) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [
        ("artefact", f"`{old.artefact[:19]}`", f"`{new.artefact[:19]}`"),
        ("kind", old.manifest.kind, new.manifest.kind),
        ("size", f"{old.manifest.size_bytes:,} B", f"{new.manifest.size_bytes:,} B"),
    ]
    for title, attribute in (("version", "id"), ("author", "author"), ("message", "message")):
        values = tuple(getattr(side.version, attribute)[:80] if side.version else _NONE for side in (old, new))
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


def _measurements_section(rows: Sequence[dict[str, Any]]) -> str:
    if not rows:
        return ""
    cells = [(row["name"], *(_measured(row[side]) for side in ("before", "after"))) for row in rows]
    return "## Measurements\n\n" + _table(("name", "before", "after"), cells)


def _layers_section(layers: Sequence[LayerDiff]) -> str:
    if not layers:
        return ""
    header = ("layer", "tensors", "changed", "zeroed", "regrown", "L2", "relative L2", "sparsity before", "after")
    cells = [
        (
            f"`{layer.layer}`",
            str(layer.num_tensors),
            _count(layer.num_changed, layer.num_elements),
            _count(layer.num_zeroed),
            _count(layer.num_regrown),
            _number(layer.l2),
            _percent(layer.relative_l2),
            _percent(layer.sparsity_before),
            _percent(layer.sparsity_after),
        )
        for layer in layers
    ]
    note = (
        "Largest relative change first. Shares, and the norm that L2 is relative to, are of the changed tensors only.\n"
    )
    return f"## By layer\n\n{note}\n{_table(header, cells)}"


def _tensors_section(tensors: Sequence[TensorDiff]) -> str:
    if not tensors:
        return ""
    ranked = sorted(tensors, key=lambda tensor: (-(tensor.l2 if tensor.l2 is not None else math.inf), tensor.name))
    header = ("tensor", "dtype", "shape", "changed", "L2", "cosine", "sparsity before", "after")
    cells = [_tensor_row(tensor) for tensor in ranked[:_MAX_TENSOR_ROWS]]
    title = f"## Tensors with the largest changes ({len(cells)} of {len(ranked)})"
    return f"{title}\n\n{_table(header, cells)}"


def _tensor_row(tensor: TensorDiff) -> tuple[str, ...]:
    return (
        f"`{tensor.name}`",
        _arrow(tensor.dtype_before, tensor.dtype_after),
        _arrow(_shape(tensor.shape_before), _shape(tensor.shape_after)),
        _count(tensor.num_changed, tensor.num_elements),
        _number(tensor.l2),
        _NONE if tensor.cosine is None else f"{tensor.cosine:.6f}",
        _percent(tensor.sparsity_before),
        _percent(tensor.sparsity_after),
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"


def _arrow(before: str, after: str) -> str:
    return before if before == after else f"{before} → {after}"


def _count(count: int | None, total: int | None = None) -> str:
    if count is None:
        return _NONE
    return f"{count:,} ({100 * count / total:.2f} %)" if total else f"{count:,}"


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.4g}"


def _percent(share: float | None) -> str:
    return _NONE if share is None else f"{100 * share:.2f} %"


def _measured(row: dict[str, Any] | None) -> str:
    if row is None:
        return "not measured"
    value, unit, low, high = (row.get(key) for key in ("value", "unit", "low", "high"))
    interval = "" if low is None or high is None else f" [{low:.6g}, {high:.6g}]"
    return f"{value:.6g}{interval} {'' if unit in (None, '1') else unit}".strip() if value is not None else _NONE
