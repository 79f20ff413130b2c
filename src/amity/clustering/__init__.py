"""Candidates to clusters: every candidate in exactly one, by train edges or by a column."""

from amity.clustering.clusters import Clusters, open_clusters, save_clusters, undivided

__all__ = ["Clusters", "open_clusters", "save_clusters", "undivided"]
