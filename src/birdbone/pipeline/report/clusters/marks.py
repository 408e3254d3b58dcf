"""Marks of clusters: eight colours that colour-blind people tell apart, and a shape beside, so that none needs colour.

Colours after Okabe and Ito 2008, "Color universal design".
"""

from __future__ import annotations

import math

NUM_COLOURS = 8
NUM_SHAPES = 5


def mark_class(number: int) -> str:
    """Return the class that gives a cluster its colour."""
    return f"c{number % NUM_COLOURS}"


def mark_path(number: int, size: float = 3.0) -> str:
    """Return the outline of a cluster's mark around the origin: circle, square, triangle, diamond or cross."""
    match number % NUM_SHAPES:
        case 0:
            return _circle(size)
        case 1:
            half = size * 0.9
            return _polygon([(-half, -half), (half, -half), (half, half), (-half, half)])
        case 2:
            return _polygon([(0, -1.25 * size), (1.1 * size, 0.8 * size), (-1.1 * size, 0.8 * size)])
        case 3:
            return _polygon([(0, -1.35 * size), (1.35 * size, 0), (0, 1.35 * size), (-1.35 * size, 0)])
        case _:
            return _polygon(_cross(1.3 * size, 0.45 * size))


def _circle(size: float) -> str:
    half = f"a{_n(size)} {_n(size)} 0 1 0"
    return f"M{_n(-size)} 0{half} {_n(2 * size)} 0{half} {_n(-2 * size)} 0z"


def _cross(reach: float, half: float) -> list[tuple[float, float]]:
    quarter = [(half, -half), (reach, -half), (reach, half)]
    return [_turn(point, times) for times in range(4) for point in quarter]


def _turn(point: tuple[float, float], times: int) -> tuple[float, float]:
    angle = times * math.pi / 2
    x, y = point
    return x * math.cos(angle) - y * math.sin(angle), x * math.sin(angle) + y * math.cos(angle)


def _polygon(corners: list[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in corners) + "z"


def _n(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".") if abs(value) >= 0.005 else "0"
