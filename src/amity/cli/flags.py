"""Flags from the config sections: each field is one, and only those that are given change anything."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, Any, TypeVar, get_args, get_origin

from cyclopts import Group, Parameter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model
from pydantic.fields import FieldInfo

from amity.config import Config, is_section

Command = TypeVar("Command", bound=Callable[..., None])


def takes_settings(*sections: str) -> Callable[[Command], Command]:
    """Give a command, by its parameter `flags`, a flag for each setting in some sections, or in all."""
    model = _loosen(Config, sections)

    def decorate(command: Command) -> Command:
        command.__annotations__["flags"] = Annotated[model, Parameter(name="*")]
        return command

    return decorate


def given(flags: BaseModel | None) -> Mapping[str, Any]:
    """The settings that were given as flags, nested as the sections are."""
    return {} if flags is None else flags.model_dump(exclude_unset=True)


def _loosen(section: type[BaseModel], only: tuple[str, ...] = (), group: Group | None = None) -> type[BaseModel]:
    """A section without its checks between fields: those wait until flags and file are merged."""
    fields: dict[str, Any] = {}
    for number, (name, field) in enumerate(section.model_fields.items()):
        if not only or name in only:
            fields[name] = _flag(field, group or Group(name, sort_key=number))
    return create_model(section.__name__, __config__=ConfigDict(extra="forbid"), **fields)


def _flag(field: FieldInfo, group: Group) -> tuple[Any, Any]:
    """The field as pydantic wants it, with its help for cyclopts."""
    text = " ".join((field.description or "").split())
    parameter = Parameter(group=group, consume_multiple=True, negative_iterable=(), help=text)
    default = field.get_default(call_default_factory=True)
    return Annotated[_loosen_type(field.annotation, group), parameter], Field(default=default)


def _loosen_type(kind: Any, group: Group) -> Any:
    if is_section(kind):
        return _loosen(kind, group=group)
    if get_origin(kind) is dict:
        return dict[str, _loosen_type(get_args(kind)[1], group)]
    return Annotated[kind, BeforeValidator(_listed)] if get_origin(kind) is tuple else kind


def _listed(value: Any) -> Any:
    """Several values below a name that users choose, where cyclopts hands over one text: a JSON list, or one value."""
    if not isinstance(value, str):
        return value
    with suppress(json.JSONDecodeError):
        value = json.loads(value)
    return value if isinstance(value, list) else [value]
