"""One part in a process of its own: `python -m benchmarks.gpu.work PART FOLDER DATA real|toy`."""

import gc
import sys
import time
import traceback
from dataclasses import asdict
from pathlib import Path

import torch

from benchmarks.gpu.figures import Figure, Place, Record, last_line
from benchmarks.gpu.parts import PARTS


def work(figures: list[Figure], record: Record) -> None:
    """Measure the figures that are neither measured nor failed; what fails is kept as that."""
    record.names = [figure.name for figure in figures]
    record.save()
    for figure in figures:
        if figure.name not in record.rows:
            attempt(figure, record)
            gc.collect()  # what a figure that failed has left on the device too
            if torch.cuda.is_available():
                torch.cuda.empty_cache()


def attempt(figure: Figure, record: Record) -> None:
    """Measure one figure."""
    record.put(figure)
    began = time.perf_counter()
    try:
        outcome = figure.measure()
    except Exception as error:
        traceback.print_exc()
        record.put(figure, error=last_line(error))
        if isinstance(error, torch.AcceleratorError):
            sys.exit(1)  # nothing works in this process any more
        return
    seconds = round(time.perf_counter() - began, 1)
    failure = {}
    if figure.most and not outcome.value <= figure.predicted:
        failure = {"error": f"{outcome.value:.3g} is above {figure.predicted:g}"}
    record.put(figure, seconds=seconds, **failure or asdict(outcome))
    print(f"{figure.name}: {outcome.value:.4g} {figure.unit} after {seconds} s", flush=True)


def main() -> None:
    """Measure one part."""
    name, folder, data, size = sys.argv[1:]
    place = Place(Path(folder), Path(data), rehearsal=size == "toy")
    part = next(part for part in PARTS if part.name == name)
    work(part.figures(place), Record(place.folder / f"{name}.json", place))


if __name__ == "__main__":
    main()
