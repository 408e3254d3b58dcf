"""The page about importance: one self-contained file, no network. Its script draws; a table says the same without."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from birdbone.compress.importance.analysis import Analysis, Summary
from birdbone.core import write_atomically
from birdbone.pipeline.report.importance.page_data import page_data
from birdbone.pipeline.report.importance.tables import About

PAGE = "importance.html"
"""Name of the page."""


def write_page(folder: Path, analysis: Analysis, about: About) -> Path:
    """Write the page into a folder, whole or not at all, and return its path.

    Raises:
        DiskFullError: no room on the disk; an earlier page stays as it was.
    """
    with write_atomically(folder / PAGE) as stream:
        stream.write(render_page(analysis, about).encode())
    return folder / PAGE


def render_page(analysis: Analysis, about: About) -> str:
    """Return the page as HTML. The same data give the same text."""
    environment = Environment(
        loader=PackageLoader("birdbone.pipeline.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size_words, "percent": percent_words}
    script = environment.get_template("importance.js").render().strip()
    return environment.get_template("importance.html.j2").render(
        analysis=analysis,
        about=about,
        whole=[analysis.of_scope("model", metric)[0] for metric in analysis.metrics],
        by_role={metric: analysis.of_scope("role", metric) for metric in analysis.metrics},
        extremes={metric: _extremes(analysis, metric) for metric in analysis.metrics},
        middle_sparsity=_middle_sparsity(analysis),
        data=_as_script_data(analysis),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def size_words(value: float) -> str:
    """Return a score in three digits."""
    return f"{value:.3g}"


def percent_words(share: float) -> str:
    """Return a share in percent."""
    return f"{100 * share:.1f} %"


def _middle_sparsity(analysis: Analysis) -> float:
    shares = sorted(analysis.config.global_sparsities)
    return shares[len(shares) // 2]


def _extremes(analysis: Analysis, metric: str) -> tuple[Summary, Summary]:
    """Return the linears that the one threshold would thin least and most."""
    share = _middle_sparsity(analysis)
    ranked = sorted(analysis.of_scope("linear", metric), key=lambda summary: summary.global_sparsity[share])
    return ranked[0], ranked[-1]


def _as_script_data(analysis: Analysis) -> Markup:
    """Return the data as JSON that cannot end its script element."""
    text = json.dumps(page_data(analysis), separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace("&", "\\u0026"))
