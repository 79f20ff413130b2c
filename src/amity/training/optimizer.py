"""Adam for the dense parameters, its lazy form for the rows of the id table."""

from torch import nn, optim

from amity.training.lazy_adam import LazyAdam


def make_optimizers(modules: nn.Module, *, learning_rate: float, weight_decay: float) -> tuple[optim.Optimizer, ...]:
    """AdamW (1711.05101) for all parameters but sparse tables, of which only the touched rows are updated.

    Tables of vectors, dense ones too, do not decay.
    """
    embeddings = [one for one in modules.modules() if isinstance(one, nn.Embedding) and one.weight.requires_grad]
    tables, dense_tables = ([one.weight for one in embeddings if one.sparse == sparse] for sparse in (True, False))
    known = {id(one.weight) for one in embeddings}
    dense = [parameter for parameter in modules.parameters() if parameter.requires_grad and id(parameter) not in known]
    groups = [{"params": dense}, {"params": dense_tables, "weight_decay": 0.0}]
    adam = optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay)
    if not tables:
        return (adam,)
    on_cpu = all(table.device.type == "cpu" for table in tables)
    lazy = LazyAdam(tables, learning_rate=learning_rate) if on_cpu else optim.SparseAdam(tables, lr=learning_rate)
    return (adam, lazy)
