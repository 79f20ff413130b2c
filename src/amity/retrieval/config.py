"""Everything that is set about fetching candidates."""

from amity.retrieval.blend import BlendConfig
from amity.retrieval.expansion import ExpansionConfig
from amity.section import Section


class RetrievalConfig(Section):
    """How candidates are fetched by what was learned, and by what else."""

    expansion: ExpansionConfig = ExpansionConfig()
    """Who asks with a query."""
    blend: BlendConfig = BlendConfig()
    """What stands beside the vectors."""
