"""Table of the ways to choose: the function behind each kind of method.

A function of `each` chooses from one class for one budget and returns ranked positions. Its parameters name
what it looks at: the class's `name` and `paths`, to which positions refer; `features` [n, d];
`log_probability` and `log_runner_up` [n], of the own class and of the strongest other one; `score` [n]; the
`budget`; a `generator` of its draws, keyed by the method's seed and the class's name; and the method's own
settings. Probabilities and scores that are not given are None. `config.methods` has the settings of a kind,
and what the plan gives it.
"""

import inspect
import time
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from itertools import product
from typing import Any

import numpy as np
import torch

from condense.base.seeds import stream
from condense.config.settings import Selection
from condense.images.lists import choose_listed
from condense.selection import baselines, plain
from condense.selection.candidates import Choice, ImageClass
from condense.selection.gadc import choose_by_gadc

# (classes, budgets, method, device) -> choices, in any order
Chooser = Callable[[Sequence[ImageClass], Sequence[int], Selection, str], Iterator[Choice]]


def each(function: Callable[..., Any]) -> Chooser:
    """Choose by a function that treats one class and one budget at a time."""
    taken = inspect.signature(function).parameters

    @wraps(function)
    def choose(
        classes: Sequence[ImageClass], budgets: Sequence[int], method: Selection, device: str
    ) -> Iterator[Choice]:
        own = {key: value for key, value in vars(method).items() if key not in method.elsewhere()}
        for images, budget in product(classes, budgets):
            began = time.perf_counter()
            images.check(budget)
            draws = stream("select", own.get("seed", 0), images.name)
            known = own | {"budget": budget, "generator": draws}
            given = {name: known[name] if name in known else _read(images, name) for name in taken}
            ranked = torch.as_tensor(function(**given)).tolist()
            yield Choice(images, budget, ranked, {"seconds": time.perf_counter() - began})

    return choose


def _read(images: ImageClass, name: str) -> Any:
    """What a function takes of a class, arrays as tensors."""
    value = images.features() if name == "features" else getattr(images, name)
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


METHODS: dict[str, Chooser] = {
    "full": each(plain.choose_all),
    "none": each(plain.choose_none),
    "random": each(plain.choose_randomly),
    "gadc": choose_by_gadc,
    "k-center": each(baselines.k_center),
    "herding": each(baselines.herding),
    "herding-max": each(baselines.herding_max),
    "ccs": each(baselines.ccs),
    "dq": each(baselines.dq),
    "d2c": each(baselines.d2c),
    "list": each(choose_listed),
}
