"""Birdbone: a self-hosted workshop for small language models.

A heavy model goes in; out comes a light one, with evidence that it is still good and every step kept.
The rooms (sub-packages) and the floors they stand on are listed in `CONTRIBUTING.md`.
"""

__version__ = "0.1.0"
