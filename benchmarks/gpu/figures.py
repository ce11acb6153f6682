"""One figure of a part: predicted before it is measured, kept as soon as it is."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from benchmarks.gpu.machine import Machine, machine_of, name_of, versions
from condense.base.errors import InputError
from condense.base.storage import replacing

T = TypeVar("T")


@dataclass(frozen=True)
class Place:
    """Where figures are measured: the device, the output folder, the packed images, real or toy size."""

    folder: Path
    data: Path
    rehearsal: bool
    device: torch.device = field(
        default_factory=lambda: torch.device("cuda" if torch.cuda.is_available() else "cpu")
    )

    @property
    def machine(self) -> Machine:
        """Peaks that predictions are made from."""
        return machine_of(self.device)

    def size(self, real: T, toy: T) -> T:
        """A size: the real one, or that of a rehearsal."""
        return toy if self.rehearsal else real

    def wait(self) -> None:
        """Wait until the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


@dataclass(frozen=True)
class Outcome:
    """What was measured; `share` of the machine's bf16 peak, `memory` in GB at its peak."""

    value: float
    share: float | None = None
    memory: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Figure:
    """A number to be measured, and what is expected of it."""

    name: str
    unit: str
    predicted: float | None
    basis: str  # of the prediction
    measure: Callable[[], Outcome]
    most: bool = False  # the prediction is a bound, above which the figure has failed


class Record:
    """Figures of a part in a JSON file, which is whole after each of them."""

    def __init__(self, path: Path, place: Place) -> None:
        self.path = path
        self.about = {"device": name_of(place.device), "rehearsal": place.rehearsal, "versions": versions()}
        self.names: list[str] = []
        self.rows: dict[str, dict[str, Any]] = {}
        if path.exists():
            held = json.loads(path.read_text(encoding="utf-8"))
            if (held["device"], held["rehearsal"]) != (self.about["device"], place.rehearsal):
                raise InputError(
                    f"{path} holds figures of another machine or size ({held['device']}); "
                    "give another --output."
                )
            self.names, self.rows = held["names"], held["figures"]

    def put(self, figure: Figure, **found: Any) -> None:
        """Keep what is known of a figure now."""
        known = {"unit": figure.unit, "predicted": figure.predicted, "basis": figure.basis}
        self.rows[figure.name] = known | {"most": figure.most, "date": time.strftime("%Y-%m-%d")} | found
        self.save()

    def save(self) -> None:
        """Write the file."""
        with replacing(self.path) as beside:
            held = self.about | {"names": self.names, "figures": self.rows}
            beside.write_text(json.dumps(held, indent=1), encoding="utf-8")

    @property
    def complete(self) -> bool:
        """Whether every figure of the part was measured; its process told their names."""
        return bool(self.names) and all("value" in self.rows.get(name, ()) for name in self.names)

    def forget_failures(self) -> None:
        """Let figures that failed be measured again."""
        self.rows = {name: row for name, row in self.rows.items() if "value" in row}

    def end(self, reason: str) -> None:
        """Give the figure that was begun and not ended a reason for it."""
        begun = [row for row in self.rows.values() if not row.keys() & {"value", "error"}]
        for row in begun:
            row["error"] = reason
        if begun:
            self.save()


def last_line(error: BaseException) -> str:
    """Last line of an error, as a table shows it."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[-1] if lines else ''}"[:300]
