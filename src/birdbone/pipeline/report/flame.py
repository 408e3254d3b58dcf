"""A flame picture as nested boxes: who called what, each as wide as its share of the time. No script.

Boxes are HTML, so that their words keep their size when the page is narrow. Each can be reached by the keyboard or a
finger and then says all that is known of it at the foot of the screen; a mouse sees the same as a tooltip.
"""

from __future__ import annotations

from markupsafe import Markup

from birdbone.evaluate.cost.results import Flame, OperatorKind
from birdbone.pipeline.report.svg import Attributes, element

FLAME_KINDS: dict[OperatorKind, str] = {
    "module": "a module of the model",
    "matrix product": "a matrix product",
    "attention": "attention",
    "other operator": "another operator",
}
"""What the colours mean."""

_MIN_SHARE = 0.003  # of the whole: narrower than a pixel or two


def flame_picture(flame: Flame, *, label: str) -> Markup:
    """Return the picture of one profile; `label` names it for those who cannot see it."""
    whole = flame.seconds or 1.0
    return element("ul", {"class": "flame", "aria-label": label}, _box(flame, within=whole, whole=whole))


def kind_class(kind: OperatorKind) -> str:
    """Return the class of a kind, which gives it its colour."""
    return kind.replace(" ", "-")


def _box(flame: Flame, *, within: float, whole: float) -> Markup:
    """Return a box and what it called; `within` are the seconds of the box that holds it."""
    share = flame.seconds / whole
    calls = f"{flame.count:,} call{'s' if flame.count != 1 else ''}"
    told = f"{flame.name}: {100 * share:.1f} % of the time, {1000 * flame.seconds:.2f} ms in {calls} ({flame.kind})"
    attributes: Attributes = {
        "class": f"box {kind_class(flame.kind)}",
        "tabindex": 0,
        "role": "img",
        "aria-label": told,
        "title": told,
    }
    shown = [child for child in flame.children if child.seconds >= _MIN_SHARE * whole]
    below = [_box(child, within=flame.seconds, whole=whole) for child in shown]
    parts = [
        element("span", attributes, flame.name.removeprefix("aten::")),
        *([element("ul", {}, *below)] if below else []),
    ]
    return element("li", {"style": f"width:{100 * flame.seconds / (within or 1.0):.3f}%"}, *parts)
