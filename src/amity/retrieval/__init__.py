"""Queries by raw id, candidates by raw id, and the search between them."""

from amity.retrieval.asking import Confidence
from amity.retrieval.blend import Blend, BlendConfig, blended, open_blend, save_blend
from amity.retrieval.candidates import Candidates
from amity.retrieval.config import RetrievalConfig
from amity.retrieval.divided import AnyRetriever, DividedRetriever, check_divided
from amity.retrieval.explanation import Explanation, explain
from amity.retrieval.heuristics import HEURISTICS, HeuristicName, Recommender, heuristic
from amity.retrieval.merging import MergeConfig
from amity.retrieval.retriever import Retriever, top_k

__all__ = [
    "HEURISTICS",
    "AnyRetriever",
    "Blend",
    "BlendConfig",
    "Candidates",
    "Confidence",
    "DividedRetriever",
    "Explanation",
    "HeuristicName",
    "MergeConfig",
    "Recommender",
    "RetrievalConfig",
    "Retriever",
    "blended",
    "check_divided",
    "explain",
    "heuristic",
    "open_blend",
    "save_blend",
    "top_k",
]
