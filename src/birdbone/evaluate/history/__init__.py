"""History: what was asked of which model, on which day, by which code, and what that shows over versions.

Owns: the record of a judgement and its store, trends and their change points, the leaderboard and the page of a
comparison, exports for other tools and the model card.
Needs: `core`, `watch` for the machine, `vault` for the order of versions, `benchmarks` for results; NumPy, SciPy; Jinja
for pages; huggingface_hub for the card. No torch.

Here is what is light. Imported by their own names, since they load SciPy or a template engine: `keeping`, `trend`,
`board`, `pages`, `exports`.
"""

from birdbone.evaluate.history.records import Asked, Environment, Evidence, Record, Subject
from birdbone.evaluate.history.store import History, open_history

__all__ = ["Asked", "Environment", "Evidence", "History", "Record", "Subject", "open_history"]
