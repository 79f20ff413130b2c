"""Queries by raw id, candidates by raw id, and the search between them."""

from amity.retrieval.candidates import Candidates
from amity.retrieval.heuristics import HEURISTICS, HeuristicName, Recommender, heuristic
from amity.retrieval.retriever import Retriever

__all__ = ["HEURISTICS", "Candidates", "HeuristicName", "Recommender", "Retriever", "heuristic"]
