"""Progress of long work: a bar with an ETA on a terminal, plain lines in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 15


def say(text: str) -> None:
    """Print one line to standard error at once, above a progress bar where there is one."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


def track(items: Iterable[T], label: str, total: int | None = None, start: int = 0) -> Iterator[T]:
    """Yield `items` while showing how far along they are; `start` counts those done in an earlier run."""
    total = total if total is not None else start + len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=label, total=total, initial=start, dynamic_ncols=True)
        return
    began = shown = time.monotonic()
    for done, item in enumerate(items, start):
        now = time.monotonic()
        if now - shown >= SECONDS_BETWEEN_LINES and done > start:
            left = (now - began) / (done - start) * (total - done)
            say(f"{label}: {done} of {total}, {left:.0f} s left")
            shown = now
        yield item
