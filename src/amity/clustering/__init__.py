"""Candidates to clusters: every candidate in exactly one, by train edges or by a column."""

from amity.clustering.clusters import Clusters, open_clusters, save_clusters, undivided
from amity.clustering.columns import group_by_column
from amity.clustering.dividing import ClusteringConfig, divide, divide_again

__all__ = [
    "ClusteringConfig",
    "Clusters",
    "divide",
    "divide_again",
    "group_by_column",
    "open_clusters",
    "save_clusters",
    "undivided",
]
