"""Clusters of neurons and heads: what they do, what they weigh, what they fire together with.

`read_features` describes every unit from one streamed pass over text and from the weights; `find_clusters` groups the
units and says how good and how stable the groups are; `follow_clusters` says what became of groups; `topology` and
`embedding` give what pictures are drawn from; `export` writes tables. What groups needs scikit-learn, which the extra
`biophase` installs: it is imported from its own module (`clusters.clustering`, `clusters.methods`, ...), after
`require_biophase` has looked. What shedding needs of a clustering, it needs without scikit-learn.
"""

from birdbone.compress.clusters.extra import require_biophase

__all__ = ["require_biophase"]
