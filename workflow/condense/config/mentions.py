"""Names that a method of a study uses, which have to be defined there."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from condense.config.groups import Groups
from condense.config.methods import D2c, Selector
from condense.config.synthesis import Synthesis

if TYPE_CHECKING:
    from condense.config.study import Study


def mentions_of_method(
    study: "Study", where: str, method: Selector, whole: list[str]
) -> Iterator[tuple[str, str, Any]]:
    """Each use of a name: the key that uses it, the name, and the names that are defined.

    `whole` are the names of the methods that take every image.
    """
    if method.encoder is not None:
        yield f"{where}.encoder", method.encoder, study.encoders
    if isinstance(method, Groups):
        drawing = [name for name, its in study.methods.items() if its.draws and not isinstance(its, Groups)]
        yield f"{where}.drawn_by", method.drawn_by, drawing
    if isinstance(method, (D2c, Synthesis)):
        yield f"{where}.generator", method.generator, study.generators
        if not method.checkpoint:
            yield f"{where}.trained_on", method.trained_on, whole
        if "real" in method.needs:
            yield f"{where}.real", method.real, whole
        if "surrogate" in method.needs:
            yield f"{where}.surrogate", method.surrogate, study.students
            yield f"{where}.surrogate_trained_on", method.surrogate_trained_on, whole
