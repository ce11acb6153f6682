"""Every key of a config on one page, for people: the JSON schema as tables."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from condense.base.storage import replacing
from condense.config.document import describe

HEAD = """# Every key of a config

Written by `python -m condense settings-page --output docs/config.md` from the classes that check a config.
Editors read the same as [JSON schema](config.schema.json). `NAME` stands for a name of yours, of letters,
digits and dashes. A key whose default is **needed** has none; `none` is written as `null`, or left out.
Lengths are in pixels, times in what the key names, learning rates and weights without a unit.
"""
KINDS = {
    "integer": "whole number",
    "number": "number",
    "string": "text",
    "boolean": "true or false",
    "null": "none",
}
BOUNDS = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}


def settings_page(
    output: Annotated[Path | None, typer.Option(help="File to write (Markdown); else printed.")] = None,
) -> None:
    """Write a page of every key of a config: its values, default and meaning."""
    text = page(describe())
    if output is None:
        print(text, end="")
        return
    with replacing(output) as beside:
        beside.write_text(text, encoding="utf-8")


def page(schema: dict[str, Any]) -> str:
    """The page of a schema."""
    lines, places = [HEAD], set()
    for place, section, tag, like in sections(schema):
        lines += [f"## {_heading(place, section, tag, place in places)}", "", section["description"], ""]
        places.add(place)
        if like:
            lines += [f"Keys and defaults are those of {_words(like, tag)}, but for these.", ""]
        lines += ["| key | value | default | meaning |", "| --- | --- | --- | --- |"]
        lines += [*_rows(section, like), ""]
    return "\n".join(lines)


def sections(schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str, dict[str, Any]]]:
    """Each part of a config once: its place, its schema, its tag, and a part before it with the same keys.

    The tag is the key whose value tells which of several parts is meant, or "".
    """
    seen: dict[str, dict[str, Any]] = {}

    def walk(place: str, name: str, section: dict[str, Any], tag: str) -> Iterator[Any]:
        if name in seen:
            return
        keys = section["properties"].keys()
        alike = [other for other in seen.values() if keys == other["properties"].keys()]
        yield place, section, tag, alike[0] if tag and alike and len(keys) > 1 else {}
        seen[name] = section
        for key, value in section["properties"].items():
            for inner, part, its_tag in _parts(f"{place}.{key}".lstrip("."), value):
                yield from walk(inner, part, schema["$defs"][part], its_tag)

    yield from walk("", "", schema, "")


def _parts(place: str, value: dict[str, Any], tag: str = "") -> Iterator[tuple[str, str, str]]:
    """Place, name and tag of each part that a value may be, or hold under names."""
    if "$ref" in value:
        yield place, value["$ref"].rpartition("/")[2], tag
    tag = value.get("discriminator", {}).get("propertyName", "")
    items = [value["items"]] if "items" in value else []
    for member in [*value.get("anyOf", []), *value.get("oneOf", []), *items]:
        yield from _parts(place, member, tag)
    for member in _named(value):
        yield from _parts(f"{place}.NAME", member)


def _named(value: dict[str, Any]) -> list[dict[str, Any]]:
    """What stands under the names of a user."""
    held = [*value.get("patternProperties", {}).values(), value.get("additionalProperties")]
    return [part for part in held if isinstance(part, dict)]


def _heading(place: str, section: dict[str, Any], tag: str, again: bool) -> str:
    """Heading of a part: its place, and the tag or the key by which it is known from others there."""
    if tag:
        return f"`{place}` with {_words(section, tag)}"
    if again:
        return f"`{place}` with `{section['required'][0]}`"
    return f"`{place}`" if place else "The study"


def _words(section: dict[str, Any], tag: str) -> str:
    """Tag of a part and its words."""
    first = section["properties"][tag]
    return " or ".join(f"`{tag}: {word}`" for word in first.get("enum") or [first["const"]])


def _rows(section: dict[str, Any], like: dict[str, Any]) -> Iterator[str]:
    """A line for each key of a part that is not the same in another one."""
    for key, value in section["properties"].items():
        if value != like.get("properties", {}).get(key):
            cells = [f"`{key}`", _values(value), _default(value, key in section.get("required", ()))]
            meaning = value.get("description", "Its keys stand below.")
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in [*cells, meaning]) + " |"


def _values(value: dict[str, Any]) -> str:
    """What a key may be."""
    if "$ref" in value:
        return "keys"
    if "anyOf" in value or "oneOf" in value:
        return " or ".join(dict.fromkeys(map(_values, value.get("anyOf") or value["oneOf"])))
    if "const" in value or "enum" in value:
        return ", ".join(f"`{word}`" for word in value.get("enum") or [value["const"]])
    bounds = ", ".join(f"{sign} {value[key]:g}" for key, sign in BOUNDS.items() if key in value)
    kind = value.get("type")
    if kind == "array":
        return f"list of {_values(value['items'])}" if "items" in value else "list"
    if kind == "object":
        held = [*map(_values, _named(value))]
        return f"`NAME`: {held[0]}" if held else "keys"
    return f"{KINDS.get(kind, 'anything')} {bounds}".strip()


def _default(value: dict[str, Any], needed: bool) -> str:
    """Default of a key; of a part with keys those stand in its own table."""
    if needed:
        return "**needed**"
    default = value.get("default")
    if isinstance(default, dict) and default:
        return "its own"
    return "none" if default is None else f"`{json.dumps(default, ensure_ascii=False)}`"
