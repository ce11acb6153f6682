"""One list of settings: a frozen dataclass is the config's section, the command's options and the document.

Field metadata is pydantic's (`description`, `gt`, `ge`, `le`, ...), so that the study model validates the same
bounds in the config that `take` validates on the command line.
"""

import dataclasses
import inspect
import json
import types
from collections.abc import Callable
from dataclasses import MISSING, field
from functools import wraps
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from gadc.errors import InputError

CLOSED = {"extra": "forbid", "validate_default": True, "allow_inf_nan": False}


def setting(default: Any = MISSING, description: str = "", **bounds: Any) -> Any:
    """Declare one field of a settings dataclass; `bounds` are pydantic's (gt, ge, lt, le, min_length)."""
    return field(default=default, metadata={"description": description, **bounds})


def settings(cls: type) -> type:
    """Make a class a frozen, keyword-only, closed settings dataclass (unknown keys are refused)."""
    cls.__pydantic_config__ = CLOSED
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def arguments(chosen: Any) -> list[str]:
    """Command-line options that rebuild `chosen`; those at their default are left out."""
    words = []
    for item in dataclasses.fields(chosen):
        value = getattr(chosen, item.name)
        if item.default is MISSING or value != item.default:
            name = item.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{name}" if value else f"--no-{name}")
            elif value is None:
                words += [f"--{name}", "none"]
            else:
                words += [f"--{name}", json.dumps(value) if isinstance(value, dict | list | tuple) else str(value)]
    return words


def build(cls: type, values: dict[str, Any]) -> Any:
    """Validate `values` as settings of `cls`; the first fault becomes one sentence that names the option."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        fault = error.errors()[0]
        where = "--" + "-".join(str(part) for part in fault["loc"]).replace("_", "-")
        raise InputError(f"{where} {fault.get('input')!r}: {fault['msg']}.") from None


def take(**classes: type) -> Callable[[Callable], Callable]:
    """Replace each named parameter, a settings dataclass, by one command-line option per field.

    `@take(settings=Gadc) def select(features: Path, settings: Gadc)` becomes a command with the options of
    `select` and of `Gadc`. Two classes may share a field name: both receive the value.
    """

    def decorate(function: Callable) -> Callable:
        own = inspect.signature(function, eval_str=True).parameters
        options = {item: _option(cls, item) for cls in classes.values() for item in dataclasses.fields(cls)}
        signature = {name: parameter for name, parameter in own.items() if name not in classes}
        signature |= {item.name: parameter for item, parameter in options.items()}

        @wraps(function)
        def command(**given: Any) -> Any:
            built = {}
            for name, cls in classes.items():
                values = {f.name: given[f.name] for f in dataclasses.fields(cls) if given[f.name] is not None}
                built[name] = build(cls, {key: _parse(value) for key, value in values.items()})
            return function(**{key: value for key, value in given.items() if key in own}, **built)

        command.__signature__ = inspect.Signature(
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.values()]
        )
        command.__annotations__ = {name: p.annotation for name, p in signature.items()}
        return command

    return decorate


def _parse(value: Any) -> Any:
    """Undo what a command line does to None, lists and mappings."""
    if isinstance(value, str):
        if value == "none":
            return None
        if value[:1] in "[{":
            return json.loads(value)
    return value


def _option(cls: type, item: dataclasses.Field) -> inspect.Parameter:
    """Describe one settings field as an optional command-line option whose help shows the default."""
    import typer

    hint = get_type_hints(cls)[item.name]
    choices = [get_args(part) for part in _members(hint) if get_origin(part) is Literal]
    text = item.metadata.get("description", "")
    if choices:
        text += " One of: " + ", ".join(str(choice) for choice in choices[0]) + "."
    text += " Required." if item.default is MISSING else f" Default: {item.default}."
    plain = bool if bool in _members(hint) else str
    return inspect.Parameter(
        item.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[plain | None, typer.Option(help=text, show_default=False)],
    )


def _members(hint: Any) -> tuple:
    """Parts of a union, or the one type."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
