"""How much each weight matters. One file a metric, all behind `score_linear`; settings in `compress/config/`.

`model_scores` scores a whole model in one streamed pass, `analysis` says how importance lies in it, `sparse` keeps the
scores that stand out.
"""

from birdbone.compress.importance.fisher import fisher_scores
from birdbone.compress.importance.gradient import gradient_scores
from birdbone.compress.importance.hessian import hessian_scores
from birdbone.compress.importance.magnitude import magnitude_scores
from birdbone.compress.importance.pruner_zero import pruner_zero_scores
from birdbone.compress.importance.ria import ria_scores
from birdbone.compress.importance.score import needs_gradients, readable_without_gradients, score_linear
from birdbone.compress.importance.wanda import wanda_scores

__all__ = [
    "fisher_scores",
    "gradient_scores",
    "hessian_scores",
    "magnitude_scores",
    "needs_gradients",
    "pruner_zero_scores",
    "readable_without_gradients",
    "ria_scores",
    "score_linear",
    "wanda_scores",
]
