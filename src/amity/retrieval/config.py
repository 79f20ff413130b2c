"""Everything that is set about fetching candidates."""

from amity.retrieval.blend import BlendConfig
from amity.retrieval.expansion import ExpansionConfig
from amity.retrieval.merging import MergeConfig
from amity.section import Section


class RetrievalConfig(Section):
    """How candidates are fetched by what was learned, and by what else."""

    expansion: ExpansionConfig = ExpansionConfig()
    """Who asks with a query."""
    blend: BlendConfig = BlendConfig()
    """What stands beside the vectors."""
    merge: MergeConfig = MergeConfig()
    """How the lists of clusters become one."""
