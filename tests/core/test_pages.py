"""Templates are compiled once a process, and a page is always what its own template says now."""

from __future__ import annotations

from pathlib import Path

import pytest

from birdbone.core.pages import page_environment


def page_of(package: str, word: str) -> str:
    environment = page_environment(package, {"shout": lambda text: text.upper() + word})
    return environment.get_template("page.j2").render(text="<b>")


def write_package(folder: Path, name: str, template: str) -> None:
    (folder / name / "templates").mkdir(parents=True, exist_ok=True)
    (folder / name / "__init__.py").write_text("")
    (folder / name / "templates" / "page.j2").write_text(template)


def test_a_page_is_what_its_package_its_filters_and_its_template_say_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    write_package(tmp_path, "paged_here", "here {{ text | shout }}")
    write_package(tmp_path, "paged_there", "there {{ text | shout }}")
    assert page_of("paged_here", "!") == "here &lt;B&gt;!"
    assert page_of("paged_there", "!") == "there &lt;B&gt;!"
    assert page_of("paged_here", "?") == "here &lt;B&gt;?"
    write_package(tmp_path, "paged_here", "now {{ text | shout }}")
    assert page_of("paged_here", "?") == "now &lt;B&gt;?"
