"""What the commands of import and export do and print."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from birdbone.cli.vault.looking import check_has_version
from birdbone.cli.vault.moving import Moved, with_files
from birdbone.cli.vault.telling import busy, headline, short_digest
from birdbone.cli.vault.work import open_store
from birdbone.vault.folder import Vault
from birdbone.vault.history.commits import commit
from birdbone.vault.interop import Imported, export_folder, export_oci, import_source
from birdbone.vault.names import HEAD
from birdbone.vault.records import Version
from birdbone.vault.refs.branches import describe_head
from birdbone.vault.refs.lookup import read_version


@dataclass(frozen=True, slots=True, kw_only=True)
class BroughtIn:
    """What came in, as which version, and where the files of the work folder are."""

    imported: Imported
    version: Version
    is_new: bool
    moved: Moved | None

    def in_words(self) -> str:
        """Return it in lines."""
        if not self.is_new:
            return "nothing to commit: HEAD holds the same files"
        lines = [f"[{short_digest(self.version.id)}] {headline(self.version)}"]
        return "\n".join(lines + ([self.moved.in_words()] if self.moved else []))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "version": self.version.id,
            "is_new": self.is_new,
            "artefact": self.imported.artefact,
            "message": self.version.message,
            "provenance": self.imported.provenance.model_dump(mode="json"),
        }


def bring_in(source: Path, *, message: str | None, kind: str | None, author: str | None) -> BroughtIn:
    """Return what came of importing a source as a version on HEAD. Raises what `import_source` and `commit` do."""

    def take(vault: Vault) -> tuple[Imported, Version, bool]:
        with busy(f"reading {source}"):
            found = import_source(vault, source, kind=kind)
        head = describe_head(vault).version
        if head is not None and (held := read_version(vault, head)).artefact == found.artefact:
            return found, held, False
        text = message or found.provenance.in_words()
        return found, commit(vault, found.artefact, ref=HEAD, message=text, author=author), True

    (imported, version, is_new), moved = with_files(HEAD, take)
    return BroughtIn(imported=imported, version=version, is_new=is_new, moved=moved)


def take_out(name: str, destination: Path, *, is_oci: bool) -> dict[str, Any]:
    """Return what was written to `destination`, as plain data. Raises what `export_folder` and `export_oci` do."""
    vault = open_store()
    check_has_version(vault, name)
    with busy(f"writing {destination}"):
        if is_oci:
            return asdict(export_oci(vault, name, destination))
        return export_folder(vault, name, destination).model_dump(mode="json")
