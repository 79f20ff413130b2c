"""Queries by raw id, candidates by raw id, and the search between them."""

from amity.retrieval.blend import Blend, BlendConfig, blended, open_blend, save_blend
from amity.retrieval.candidates import Candidates
from amity.retrieval.config import RetrievalConfig
from amity.retrieval.divided import DividedRetriever
from amity.retrieval.heuristics import HEURISTICS, HeuristicName, Recommender, heuristic
from amity.retrieval.merging import MergeConfig
from amity.retrieval.retriever import Retriever, top_k

__all__ = [
    "HEURISTICS",
    "Blend",
    "BlendConfig",
    "Candidates",
    "DividedRetriever",
    "HeuristicName",
    "MergeConfig",
    "Recommender",
    "RetrievalConfig",
    "Retriever",
    "blended",
    "heuristic",
    "open_blend",
    "save_blend",
    "top_k",
]
