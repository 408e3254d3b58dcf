"""What `diff` compares and prints. The work folder is stored first, without a version: a commit of it then costs
nothing more, and a collection of garbage takes it away again if none comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from birdbone.cli import output, words
from birdbone.cli.output import new_table
from birdbone.cli.vault.looking import check_has_version
from birdbone.cli.vault.telling import busy, headline, plain, short_digest
from birdbone.cli.vault.work import Work, has_work, open_work, store_work
from birdbone.vault.diff import Comparison, FileDiff, ManifestDiff, TensorDiff, compare_versions, comparison_json
from birdbone.vault.diff.bundle import write_bundle, write_page
from birdbone.vault.diff.groups import ChangeTotals
from birdbone.vault.diff.names import NameDiff, diff_manifests
from birdbone.vault.diff.wording import (
    cosine_words,
    measured_words,
    number_words,
    percent_words,
    quantization_words,
    rank_change_words,
)
from birdbone.vault.folder import Vault
from birdbone.vault.names import HEAD
from birdbone.vault.refs.lookup import read_manifest, resolve, resolve_artefact

_MAX_LAYERS = 20
_MAX_FILE_LINES = 20
_SEPARATORS = ("...", "..")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """The two things to compare, by name, and what a person calls them."""

    vault: Vault
    before: str
    after: str
    titles: tuple[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What of a comparison is wanted."""

    names_only: bool
    tensors: bool
    html: Path | None
    bundle: Path | None
    is_thorough: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What differs by name."""

    sides: Sides
    diff: ManifestDiff
    is_empty: bool

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"before": self.sides.before, "after": self.sides.after, **asdict(self.diff)}

    def print_all(self) -> None:
        """Print it for a person."""
        output.print_line("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """Return a line for each name that differs: its sign, what it is, the name."""
        groups = (("tensor", self.diff.tensors), ("file", self.diff.files), ("metadata", self.diff.metadata))
        found = [line for what, names in groups for line in _signed(what, names)]
        return found or ["nothing differs by name" if not self.is_empty else "nothing differs"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """What differs, in every way."""

    sides: Sides
    comparison: Comparison
    has_tensors: bool

    @property
    def is_empty(self) -> bool:
        """Whether both sides are the same artefact."""
        return self.comparison.is_empty

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return comparison_json(self.comparison)

    def print_all(self) -> None:
        """Print it for a person."""
        print_comparison(self, has_tensors=self.has_tensors)


def find_sides(a: str | None, b: str | None) -> Sides:
    """Return what two arguments of `diff` mean.

    Nothing: HEAD and the work folder, or, where there is none, HEAD and the version before it. One name: that, and the
    work folder or HEAD. `A..B`, or two names: these two.
    """
    work = open_work()
    if a is not None and b is None:
        separator = next((mark for mark in _SEPARATORS if mark in a), "")
        if separator:
            left, _, right = a.partition(separator)
            return _named(work.vault, left or HEAD, right or HEAD)
    if a is not None and b is not None:
        return _named(work.vault, a, b)
    if has_work(work):
        return _with_work(work, a or HEAD)
    return _named(work.vault, a, HEAD) if a else _named(work.vault, f"{HEAD}~1", HEAD)


def names_of(sides: Sides) -> Names:
    """Return what differs by name; only manifests are read."""
    old, new = (resolve_artefact(sides.vault, name) for name in (sides.before, sides.after))
    found = diff_manifests(read_manifest(sides.vault, old), read_manifest(sides.vault, new))
    return Names(sides=sides, diff=found, is_empty=old == new)


def find_differences(sides: Sides, wanted: Wanted) -> Names | Compared:
    """Return what differs, as far as it is wanted, after the page and the bundle that are wanted were written."""
    is_written = bool(wanted.html or wanted.bundle)
    if wanted.names_only and not is_written:
        return names_of(sides)
    with busy("comparing tensors"):  # ranks of matrices take the longest, and the summary does not show them
        found = compare_versions(sides.vault, sides.before, sides.after, has_ranks=wanted.is_thorough or is_written)
    if wanted.html is not None:
        output.talk(f"wrote {write_page(found, wanted.html)}")
    if wanted.bundle is not None:
        output.talk(f"wrote {write_bundle(found, wanted.bundle)}")
    return Compared(sides=sides, comparison=found, has_tensors=wanted.tensors)


def print_comparison(found: Compared, *, has_tensors: bool) -> None:
    """Print a comparison for a person: both sides, totals, layers, tensors, files, figures."""
    diff = found.comparison
    output.print_line("\n".join(_side_lines(found)))
    if diff.is_empty:
        output.print_line("nothing differs")
        return
    output.print_line("\n".join(_summary_lines(diff)))
    if diff.layers:
        _print_layers(diff)
    if has_tensors and diff.tensors:
        _print_tensors(diff.tensors)
    for file in diff.files:
        output.print_line("\n".join(_file_lines(file)))
    if diff.measurements:
        rows = [(row.name, measured_words(row.before), measured_words(row.after)) for row in diff.measurements]
        output.print_table(new_table(("figure", "before", "after"), rows))


def _named(vault: Vault, before: str, after: str) -> Sides:
    check_has_version(vault, before)
    return Sides(vault=vault, before=before, after=after, titles=(before, after))


def _with_work(work: Work, before: str) -> Sides:
    check_has_version(work.vault, before)
    with busy(f"reading {work.folder}"):
        artefact, _ = store_work(work, kind=read_manifest(work.vault, before).kind, base=resolve(work.vault, HEAD))
    return Sides(vault=work.vault, before=before, after=artefact, titles=(before, str(work.folder)))


def _signed(what: str, names: NameDiff) -> Iterator[str]:
    for sign, found in (("-", names.removed), ("+", names.added), ("~", names.changed)):
        yield from (f"{sign} {what:<8} {plain(name)}" for name in found)


def _side_lines(found: Compared) -> Iterator[str]:
    for sign, side, title in zip(
        "-+", (found.comparison.before, found.comparison.after), found.sides.titles, strict=True
    ):
        if side.version is None:
            yield f"{sign} {title}"
        else:
            yield f"{sign} {title} {short_digest(side.version.id)} {headline(side.version)}"


def _summary_lines(diff: Comparison) -> Iterator[str]:
    names, totals = diff.names.tensors, diff.totals
    parts = [f"{len(found):,} {what}" for what, found in _by_fate(names) if found]
    yield f"tensors: {', '.join(parts) or 'none'}"
    if totals is not None:
        yield (
            f"weights in the changed tensors: {_share(totals.num_changed, totals)} differ, "
            f"{_count(totals.num_zeroed)} zeroed, {_count(totals.num_regrown)} regrown"
        )
        yield (
            f"relative L2 {percent_words(totals.relative_l2)}, cosine {cosine_words(totals.cosine)}, zeros "
            f"{percent_words(totals.sparsity_before)} → {percent_words(totals.sparsity_after)}"
        )
    if totals is not None and totals.num_requantized:
        yield f"quantization: {words.count(totals.num_requantized, 'tensor')} of another dtype or number of levels"


def _by_fate(names: NameDiff) -> tuple[tuple[str, Sequence[str]], ...]:
    return ("changed", names.changed), ("added", names.added), ("removed", names.removed), ("the same", names.same)


def _print_layers(diff: Comparison) -> None:
    rows = [(layer.layer, *_cells(layer)) for layer in diff.layers[:_MAX_LAYERS]]
    header = ("layer", "tensors", "changed", "zeroed", "regrown", "rel. L2", "zeros after")
    output.print_table(new_table(header, rows))
    if len(diff.layers) > _MAX_LAYERS:
        output.print_line(f"and {len(diff.layers) - _MAX_LAYERS} more layers; --json and --html have all")


def _cells(totals: ChangeTotals) -> tuple[str, ...]:
    return (
        str(totals.num_tensors),
        percent_words(totals.share_changed),
        _count(totals.num_zeroed),
        _count(totals.num_regrown),
        percent_words(totals.relative_l2),
        percent_words(totals.sparsity_after),
    )


def _print_tensors(tensors: Sequence[TensorDiff]) -> None:
    """Print each tensor in two lines, since names are long and terminals narrow."""
    for tensor in tensors:
        share = (
            None if tensor.num_changed is None or not tensor.num_elements else tensor.num_changed / tensor.num_elements
        )
        output.print_line(plain(tensor.name))
        output.print_line(
            f"    {quantization_words(tensor)}; {percent_words(share)} changed; L2 {number_words(tensor.l2)}; "
            f"cosine {cosine_words(tensor.cosine)}; rank {rank_change_words(tensor)}"
        )


def _file_lines(file: FileDiff) -> Iterator[str]:
    yield f"{file.change} {plain(file.path)}{f': {file.note}' if file.note else ''}"
    lines = [f"{change.path}: {change.old or 'nothing'} → {change.new or 'nothing'}" for change in file.values]
    if file.vocabulary is not None:
        lines.append(f"tokens {file.vocabulary.num_tokens_before:,} → {file.vocabulary.num_tokens_after:,}")
    lines += [line for text in file.texts for line in text.lines]
    yield from (f"  {plain(line)}" for line in lines[:_MAX_FILE_LINES])
    if len(lines) > _MAX_FILE_LINES:
        yield f"  and {len(lines) - _MAX_FILE_LINES} more lines; --json has all"


def _share(count: int | None, totals: ChangeTotals) -> str:
    return "a number that cannot be told" if count is None else f"{count:,} of {totals.num_elements:,}"


def _count(count: int | None) -> str:
    return "—" if count is None else f"{count:,}"
