"""The whole graph, layer by layer, out of core; and its eigenvectors."""

from amity.embedding.embedding import EmbeddingConfig, embed_graph
from amity.embedding.spectral import SpectralConfig, Spectrum, find_leading
from amity.embedding.vectors import Embeddings, open_embeddings

__all__ = [
    "EmbeddingConfig",
    "Embeddings",
    "SpectralConfig",
    "Spectrum",
    "embed_graph",
    "find_leading",
    "open_embeddings",
]
