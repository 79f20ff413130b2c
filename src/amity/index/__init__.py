"""Vectors, indexed: exact search, and HNSW, IVF and IVF-PQ whose recall against it is measured when they are built."""

from amity.index.building import IndexConfig, build_index
from amity.index.divided import DividedIndex, build_divided
from amity.index.hits import Hits, Index, nothing_excluded
from amity.index.hnsw import HnswConfig
from amity.index.ivf import IvfConfig
from amity.index.ivfpq import IvfpqConfig
from amity.index.storage import mapped_file, open_divided, open_index, read_page, save_divided, save_index

__all__ = [
    "DividedIndex",
    "Hits",
    "HnswConfig",
    "Index",
    "IndexConfig",
    "IvfConfig",
    "IvfpqConfig",
    "build_divided",
    "build_index",
    "mapped_file",
    "nothing_excluded",
    "open_divided",
    "open_index",
    "read_page",
    "save_divided",
    "save_index",
]
