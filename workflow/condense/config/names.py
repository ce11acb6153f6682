"""Names and lists of a study: which words a user may give, and that nothing is listed twice."""

from collections.abc import Iterable
from typing import Annotated, TypeVar

from pydantic import AfterValidator, Field

RESERVED = {  # word: what it means to the plan
    "none": "it stands for a setting that is absent",
    "all": "it is the budget of methods that take every image",
    "zero": "it is the budget of methods that take no image",
    "pixels": "it is the space of generators without an autoencoder",
    "plain": "it is the recipe of images and classes alone",
}


def name_of_seed(name: str, seed: int) -> str:
    """Name of what the replicate of a seed has for itself; seed 0 has the study's, which has no dot."""
    return f"{name}.{seed}" if seed else name


def name_of_group(name: str, number: int) -> str:
    """Name of a method that draws one of several groups; the first group has the method's own."""
    return f"{name}.group{number}" if number else name


def replicate_of(name: str) -> tuple[str, int]:
    """The study's name of an encoder or a method, and the first seed that it stands for."""
    written, *rest = name.split(".")
    return written, next((int(part) for part in rest if part.isdecimal()), 0)


def undefined(where: str, name: str, defined: Iterable[str]) -> str:
    """What is wrong with a key that names nothing which the study defines."""
    known = ", ".join(defined) or "none"
    if not name:
        return f"{where} is missing; give a name that is defined (defined: {known})"
    return f"{where} names '{name}', which is not defined (defined: {known})"


def _named(name: str) -> str:
    """Refuse a word that means something already."""
    if name in RESERVED:
        raise ValueError(f"`{name}` cannot be a name: {RESERVED[name]}; choose another")
    return name


def _distinct(values: list) -> list:
    """Refuse a list that names something twice."""
    for number, value in enumerate(values):
        if value in values[:number]:
            raise ValueError(f"{value} is listed twice, and is no replicate of itself; list it once")
    return values


# a name that a study gives to something; it is part of paths
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]*$"), AfterValidator(_named)]
TableName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")]

T = TypeVar("T")
Distinct = Annotated[list[T], AfterValidator(_distinct), Field(json_schema_extra={"uniqueItems": True})]
