"""Groups by a column of the candidates: a category, a number taken as one, or the first value of a bag."""

import difflib

import numpy as np
from jaxtyping import Integer
from numpy import ndarray

from amity.errors import ConfigError
from amity.graph import Bag, Category, Column, NodeKind, Number

UNKNOWN = "unknown"
"""The group of those whose value is missing."""


def group_by_column(
    kind: NodeKind, name: str, *, setting: str = "clustering.column"
) -> tuple[Integer[ndarray, "candidates"], list[str]]:
    """The group of each node, and what the groups are called; of a bag counts the value that sorts first.

    Raises `ConfigError`, which names the setting, where there is no such column, or it is a vector.
    """
    codes, values = _codes(_find(kind, name, setting), setting)
    names = list(dict.fromkeys((*values, UNKNOWN)))
    return np.where(codes < 0, names.index(UNKNOWN), codes), names


def _find(kind: NodeKind, name: str, setting: str) -> Column:
    columns = {column.name: column for column in kind.columns}
    if name in columns:
        return columns[name]
    near = difflib.get_close_matches(name, columns, n=1)
    hint = f"Did you mean `{near[0]}`?" if near else f"There are: {', '.join(columns) or 'none'}."
    raise ConfigError(f"The {kind.name} table has no column `{name}` to group by, which `{setting}` names. {hint}")


def _codes(column: Column, setting: str) -> tuple[Integer[ndarray, "nodes"], tuple[str, ...]]:
    """The value of each node as a row of the values, -1 where it is missing; and the values, as text."""
    match column:
        case Category():
            return column.codes, column.dictionary
        case Bag():
            filled = np.diff(column.indptr) > 0
            codes = np.full(len(filled), -1)
            codes[filled] = column.codes[column.indptr[:-1][filled]]
            return codes, column.dictionary
        case Number():
            known = ~np.isnan(column.values)
            codes = np.full(len(known), -1)
            values, codes[known] = np.unique(column.values[known], return_inverse=True)
            return codes, tuple(np.format_float_positional(value, trim="-") for value in values)
    raise ConfigError(
        f"The column `{column.name}`, which `{setting}` names, is a vector, and no groups are told by it. Name a "
        "category, a number or a bag."
    )
