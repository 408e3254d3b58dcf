"""Self-contained pages: HTML from a package's `templates`, no network, and no script but the page's own.

Imported by its name: a command that draws no page need not load jinja.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import BytecodeCache, Environment, PackageLoader, StrictUndefined
from jinja2.bccache import Bucket
from markupsafe import Markup


class _CompiledOnce(BytecodeCache):
    """Keeps compiled templates for as long as the process lives: compiling takes half of what a page takes."""

    def __init__(self) -> None:
        self._kept: dict[str, bytes] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        if bucket.key in self._kept:
            bucket.bytecode_from_string(self._kept[bucket.key])

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._kept[bucket.key] = bucket.bytecode_to_string()


_COMPILED = _CompiledOnce()


def page_environment(package: str, filters: Mapping[str, Callable[..., Any]]) -> Environment:
    """Return the templates of a package: what they are given is escaped, and what they miss is an error."""
    environment = Environment(
        loader=PackageLoader(package),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        bytecode_cache=_COMPILED,
    )
    environment.filters |= filters
    return environment


def page_script(environment: Environment, name: str) -> tuple[Markup, Markup]:
    """Return a script of the package and the source that a content security policy must name for it to run."""
    text = environment.get_template(name).render().strip()
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return Markup(text), Markup(f"'sha256-{digest}'")
