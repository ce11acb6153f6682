"""What a subset is used for: a learner is trained on it, or a judge appraises it as it is.

The learner, the method and the budget are a run.
"""

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["generator", "student", "judge"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class Learner:
    """An image generator, a student, which is a classifier, or an encoder as judge. `kind` tells which."""

    kind: Kind
    name: str


@dataclass(frozen=True)
class Run:
    """A learner and the subset of a method and budget, once for each seed."""

    method: str
    learner: Learner
    budget: str

    def names(self) -> dict[str, str]:
        """Its names, by the keys of a table, which are the wildcards of paths too."""
        return {"method": self.method, self.learner.kind: self.learner.name, "budget": self.budget}
