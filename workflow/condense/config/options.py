"""One list of settings: a frozen dataclass is the config's section, the command's options and the document.

Field metadata is pydantic's (`description`, `gt`, `ge`, `le`, ...), so that one bound holds both the config
and the command line.
"""

import dataclasses
import inspect
import json
import types
from collections.abc import Callable, Collection
from dataclasses import MISSING, field
from functools import cache, wraps
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from condense.base.errors import InputError
from condense.config.complaints import complain

CLOSED = {"extra": "forbid", "validate_default": True, "allow_inf_nan": False}


def setting(default: Any = MISSING, description: str = "", stage: str = "", **bounds: Any) -> Any:
    """Declare one field of a settings dataclass; `bounds` are pydantic's (gt, ge, lt, le, min_length).

    `stage` names the stage that obeys it, where that is another than the command that takes the settings.
    """
    elsewhere = {"json_schema_extra": {"stage": stage}} if stage else {}
    return field(default=default, metadata={"description": description, **bounds, **elsewhere})


def settings(cls: type) -> type:
    """Make a class a frozen, keyword-only, closed settings dataclass (unknown keys are refused)."""
    cls.__pydantic_config__ = CLOSED
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def arguments(chosen: Any, without: Collection[str] = (), start: str = "") -> list[str]:
    """Command-line options that rebuild `chosen`: every field but those `without`; names begin with `start`.

    Also those at their default: they stand in a job's parameters, so that a changed default is a changed job.
    """
    words = []
    for item in dataclasses.fields(chosen):
        name = (start + item.name).replace("_", "-")
        value = getattr(chosen, item.name)
        if item.name in without:
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", _word(value)]
    return words


def others(cls: Any, name: str, chosen: str) -> set[str]:
    """Words that a field of a settings class, or of a union of them, may be besides the chosen one."""
    return {*_choices(_fields(cls)[name][0])} - {chosen}


def build(cls: Any, values: dict[str, Any], start: str = "") -> Any:
    """Validate `values` as settings of `cls`; the first fault becomes one sentence that names the option.

    Names of options begin with `start`. The tag that chooses a member of a union of settings classes is
    their first field.
    """
    from pydantic import Field, TypeAdapter, ValidationError

    members = _members(cls)
    if len(members) > 1:
        tags = [dataclasses.fields(member)[0] for member in members]
        values = {tag.name: tag.default for tag in tags if tag.default is not MISSING} | values
        cls = Annotated[cls, Field(discriminator=tags[0].name)]
    try:
        return TypeAdapter(cls).validate_python(values)
    except ValidationError as error:
        raise InputError(_sentence(error.errors(), len(members) > 1, start)) from None


def take(*prefixed: str, **classes: Any) -> Callable[[Callable], Callable]:
    """Replace each named parameter, a settings dataclass, by one command-line option per field.

    `@take(settings=Gadc) def select(features: Path, settings: Gadc)` becomes a command with the options of
    `select` and of `Gadc`. Two classes may share a field name: both receive the value. A union of classes
    takes the options of all its members; those of a member that was not chosen are refused. Options of a
    `prefixed` parameter begin with its name.
    """
    starts = {name: f"{name}_" if name in prefixed else "" for name in classes}
    fields = {
        name: {starts[name] + key: field for key, field in _fields(cls).items()}
        for name, cls in classes.items()
    }

    def decorate(function: Callable) -> Callable:
        own = inspect.signature(function, eval_str=True).parameters
        signature = {name: parameter for name, parameter in own.items() if name not in classes}
        for taken in fields.values():
            if shared := own.keys() & taken:
                raise TypeError(f"{function.__name__} has options of its own named as settings: {shared}")
            signature |= {name: _option(name, *field) for name, field in taken.items()}

        @wraps(function)
        def command(**given: Any) -> Any:
            built = {}
            for name, taken in fields.items():
                values = {
                    key.removeprefix(starts[name]): _parse(key, given[key], hint)
                    for key, (hint, _) in taken.items()
                    if given[key] is not None
                }
                built[name] = build(classes[name], values, starts[name])
            return function(**{key: value for key, value in given.items() if key in own}, **built)

        command.__signature__ = inspect.Signature(
            [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in signature.values()]
        )
        command.__annotations__ = {name: p.annotation for name, p in signature.items()}
        return command

    return decorate


def _sentence(faults: list[Any], tagged: bool, start: str) -> str:
    """One sentence for the first fault of options; where a tag chose their class, places begin with it."""
    fault, places = faults[0], [fault["loc"][tagged:] for fault in faults]
    if not places[0]:  # a fault of several settings together
        return f"{complain([fault])}."
    option = "--" + (start + str(places[0][0])).replace("_", "-")
    if fault["type"] == "unexpected_keyword_argument":
        return f"{option} is no option of {fault['loc'][0]}; leave it out."
    mine = [fault for fault, place in zip(faults, places, strict=True) if place[:1] == places[0][:1]]
    return f"{option} {complain(mine)}."


@cache
def _fields(cls: Any) -> dict[str, tuple[Any, dataclasses.Field]]:
    """Type and declaration of each field of a settings class; of a union the types of one name are joined."""
    found: dict[str, tuple[Any, dataclasses.Field]] = {}
    for member in _members(cls):
        hints = get_type_hints(member)
        for item in dataclasses.fields(member):
            hint, first = found.get(item.name, (hints[item.name], item))
            found[item.name] = Union[hint, hints[item.name]], item if first.default is MISSING else first  # noqa: UP007
    return found


def _parse(name: str, value: Any, hint: Any) -> Any:
    """Undo what a command line does to None, lists and mappings."""
    kinds = {get_origin(part) or part for part in _members(hint)}
    if value == "none" and type(None) in kinds:
        return None
    if kinds & {dict, list, tuple} and isinstance(value, str) and value[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError as error:
            raise InputError(f"--{name.replace('_', '-')} {value} is no JSON ({error}).") from None
    return value


def _word(value: Any) -> str:
    """A value as `_parse` takes it from the command line."""
    if value is None:
        return "none"
    return json.dumps(value) if isinstance(value, dict | list | tuple) else str(value)


def _option(name: str, hint: Any, item: dataclasses.Field) -> inspect.Parameter:
    """Describe one settings field as an optional command-line option whose help shows the default."""
    import typer

    text = item.metadata.get("description", "")
    if choices := _choices(hint):
        text += " One of: " + ", ".join(str(choice) for choice in choices) + "."
    text += " Required." if item.default is MISSING else f" Default: {item.default}."
    plain = bool if bool in _members(hint) else str
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[plain | None, typer.Option(help=text, show_default=False)],
    )


def _members(hint: Any) -> tuple:
    """Parts of a union, or the one type."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _choices(hint: Any) -> list[Any]:
    """Values to which a type is closed, if it is."""
    return [choice for part in _members(hint) if get_origin(part) is Literal for choice in get_args(part)]
