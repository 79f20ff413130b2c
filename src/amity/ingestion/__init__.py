"""Tables to graph: what is in which column, out-of-core building, and a synthetic network."""

from amity.ingestion.build import Progress, ingest
from amity.ingestion.layout import name_files
from amity.ingestion.schema import BagConfig, ColumnConfig, EdgesConfig, IngestionConfig, NodesConfig

__all__ = [
    "BagConfig",
    "ColumnConfig",
    "EdgesConfig",
    "IngestionConfig",
    "NodesConfig",
    "Progress",
    "ingest",
    "name_files",
]
