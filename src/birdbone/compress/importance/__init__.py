"""How much each weight matters. One file a metric, all behind `score_linear`; settings in `compress/config/`."""

from birdbone.compress.importance.magnitude import magnitude_scores
from birdbone.compress.importance.score import score_linear
from birdbone.compress.importance.wanda import wanda_scores

__all__ = ["magnitude_scores", "score_linear", "wanda_scores"]
