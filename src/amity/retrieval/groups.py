"""Groups of candidates: the values of one of their columns."""

import numpy as np
from jaxtyping import Int64
from numpy import ndarray

from amity.errors import ConfigError
from amity.graph import Category, NodeKind

UNKNOWN = "unknown"
"""The group of those whose value is missing, or is called so."""


def group_by(kind: NodeKind, name: str, *, setting: str) -> tuple[Int64[ndarray, "candidates"], tuple[str, ...]]:
    """The group of each node by a column of categories, counted from 0, and what the groups are called.

    Values that nobody has are no groups. Raises `ConfigError`, which names the setting, where there is no such column.
    """
    columns = {column.name: column for column in kind.columns if isinstance(column, Category)}
    if name not in columns:
        raise ConfigError(
            f"There is no column `{name}` of categories among those of {kind.name}, which {setting} names. "
            f"There are: {', '.join(columns) or 'none'}."
        )
    called = np.array([*columns[name].dictionary, UNKNOWN])  # A missing value is -1: the last one.
    names, groups = np.unique(called[columns[name].codes], return_inverse=True)
    return groups, tuple(names.tolist())
