"""The whole graph, layer by layer, out of core; and its eigenvectors."""

from amity.embedding.embedding import AtHand, EmbeddingConfig, embed_graph
from amity.embedding.histories import embed_nodes
from amity.embedding.spectral import AnySpectrum, SpectralConfig, Spectrum, check_spectral, find_leading
from amity.embedding.vectors import Embeddings, open_embeddings

__all__ = [
    "AnySpectrum",
    "AtHand",
    "EmbeddingConfig",
    "Embeddings",
    "SpectralConfig",
    "Spectrum",
    "check_spectral",
    "embed_graph",
    "embed_nodes",
    "find_leading",
    "open_embeddings",
]
