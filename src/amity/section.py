"""The base class of every config section."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """Settings of one stage: frozen, and closed to unknown keys.

    A field, its limits, its default and the docstring below it become the TOML key, the command-line
    flag, its help and the documentation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)
