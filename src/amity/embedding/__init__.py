"""The whole graph, layer by layer, out of core; and its eigenvectors."""

from amity.embedding.embedding import EmbeddingConfig, Embeddings, embed_graph, open_embeddings
from amity.embedding.spectral import SpectralConfig, Spectrum, find_leading

__all__ = [
    "EmbeddingConfig",
    "Embeddings",
    "SpectralConfig",
    "Spectrum",
    "embed_graph",
    "find_leading",
    "open_embeddings",
]
