"""What is wrong with a value, in plain words instead of those of the library that checks it."""

import json
from collections.abc import Sequence
from typing import Any

TELLING = ("value_error", "missing", "union_tag")  # faults that say what was given
WORDS = {
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
    "finite_number": "must be a finite number",
    "missing": "must be given",
    "missing_argument": "must be given",
    "literal_error": "must be {expected}",
    "too_short": "must list at least {min_length}",
    "too_long": "must list at most {max_length}",
    "string_pattern_mismatch": "must be of letters, digits and dashes, and begin with no dash",
}
KINDS = {  # by the first word of a fault's type
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "none": "left out",
}


def complain(faults: Sequence[Any]) -> str:
    """What a value must be; several faults of it are those of the kinds that it could have had."""
    if _is_name(faults[0]):
        return "must be text, as every name: write it in quotes"
    said = [*dict.fromkeys(map(_complaint, faults))]
    told = " or ".join([said[0], *(words.removeprefix("must be ") for words in said[1:])])
    return told if faults[0]["type"].startswith(TELLING) else f"{told} (given: {given(faults[0]['input'])})"


def given(value: Any) -> str:
    """A value as a config has it, cut where it is long."""
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)[:80]


def _complaint(fault: Any) -> str:
    """What a value must be, by one fault of pydantic's."""
    kind = fault["type"]
    if kind == "value_error":
        return fault["msg"].removeprefix("Value error, ")
    if kind == "union_tag_invalid":
        name = fault["ctx"]["discriminator"].strip("'")
        tag = fault["input"].get(name)
        tag = f"'{tag}'" if isinstance(tag, str) else given(tag)
        return f"{name}: {tag} is none of {fault['ctx']['expected_tags']}"
    if kind == "union_tag_not_found":
        return f"{fault['ctx']['discriminator']} must be given".replace("'", "")
    return WORDS[kind].format_map(fault.get("ctx", {})) if kind in WORDS else f"must be {_kind(kind)}"


def _is_name(fault: Any) -> bool:
    """Whether it is of a name that is no text: YAML takes 10 for a number, and yes for a truth."""
    return fault["type"] == "string_type" and fault["loc"][-1:] == ("[key]",)


def _kind(fault: str) -> str:
    """Kind of value that a type of fault asks for."""
    return KINDS.get(fault.split("_")[0], "keys with values")
