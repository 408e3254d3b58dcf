"""Self-contained pages: HTML from a package's `templates`, no network, and no script but the page's own.

Imported by its name: a command that draws no page need not load jinja.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup


def page_environment(package: str, filters: Mapping[str, Callable[..., Any]]) -> Environment:
    """Return the templates of a package: what they are given is escaped, and what they miss is an error."""
    environment = Environment(
        loader=PackageLoader(package), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= filters
    return environment


def page_script(environment: Environment, name: str) -> tuple[Markup, Markup]:
    """Return a script of the package and the source that a content security policy must name for it to run."""
    text = environment.get_template(name).render().strip()
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), Markup(f"'sha256-{digest}'")
