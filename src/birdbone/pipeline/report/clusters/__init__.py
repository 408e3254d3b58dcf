"""The page about clusters: where units lie, what clusters are like, what fires together, what became of them."""

from birdbone.pipeline.report.clusters.page import ClusterPage, render_cluster_page

__all__ = ["ClusterPage", "render_cluster_page"]
