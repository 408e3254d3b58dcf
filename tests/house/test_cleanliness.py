"""Nothing unfinished, nothing that belongs to one machine, few mocks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = {".py", ".md", ".yml", ".yaml", ".toml", ".txt", ".svg", ".html", ".json", ".cfg", ".sh", ""}
SYSTEM_FOLDERS = {"bin", "boot", "dev", "etc", "lib", "opt", "proc", "run", "srv", "sys", "tmp", "usr", "var"}

# Put together from pieces, so that this file does not hold what it looks for.
UNFINISHED = ["Not" + "ImplementedError", r"\bTO" + r"DO\b", r"\bFIX" + r"ME\b"]
HOSTS = [
    "pypi" + r"\.org",
    "python" + r"hosted\.org",
    "download" + r"\.pytorch\.org",
    "conda" + r"\.anaconda\.org",
    "registry" + r"\.npmjs",
    "deb" + r"\.debian\.org",
]
HOMES = [r"/ho" + r"me/\w", r"/ro" + r"ot/", r"/Us" + r"ers/\w", r"C:\\\\?Us" + "ers"]


def machine_patterns() -> list[str]:
    """Homes of people, and the place where this checkout lies."""
    own = [rf"(?<![\w.*]){re.escape(str(ROOT))}\b"]
    top = ROOT.parts[1]
    return HOMES + own + ([] if top in SYSTEM_FOLDERS else [rf"(?<![\w.*)}}/]){re.escape('/' + top)}/"])


@pytest.mark.parametrize("pattern", [*UNFINISHED, *HOSTS, *machine_patterns()])
def test_no_file_holds(pattern: str, repository_files: list[Path]) -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in repository_files
        if path.suffix in TEXT and "corpus" not in path.parts and re.search(pattern, path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_no_file_is_too_large_for_git(repository_files: list[Path]) -> None:
    assert [path.name for path in repository_files if path.stat().st_size > 2_000_000] == []


def test_at_most_3_mocks_in_100_tests() -> None:
    mock = re.compile(r"\bmo" + r"ck\.|\bMagic" + r"Mock\(|\bMo" + r"ck\(|\bpat" + r"ch\(|monkeypatch\.set" + r"attr\(")
    texts = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("*.py"))]
    num_tests = sum(len(re.findall(r"^\s*(?:async )?def test_", text, flags=re.MULTILINE)) for text in texts)
    num_mocks = sum(len(mock.findall(text)) for text in texts)
    assert num_mocks <= 0.03 * num_tests
