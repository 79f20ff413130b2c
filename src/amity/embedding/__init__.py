"""The whole graph, layer by layer, out of core."""

from amity.embedding.embedding import EmbeddingConfig, Embeddings, embed_graph, open_embeddings

__all__ = ["EmbeddingConfig", "Embeddings", "embed_graph", "open_embeddings"]
