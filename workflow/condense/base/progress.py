"""Progress of long work: a bar with an ETA on a terminal, plain lines in a log."""

import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 15
JOURNAL = "CONDENSE_JOURNAL"  # names the file that keeps what is said, also to workers of the same run


def say(text: str) -> None:
    """Print one line to standard error at once, above a progress bar where there is one."""
    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()
    if path := os.environ.get(JOURNAL):
        with suppress(OSError), Path(path).open("a", encoding="utf-8") as file:
            file.write(text + "\n")


def keep_journal(path: Path) -> None:
    """Say again what an interrupted run said, and keep beside its states what this one says.

    Snakemake empties the log of a job that starts again. Of several workers one says it: the run that started
    them, or the first where torchrun did.
    """
    first = os.environ.get(JOURNAL) != str(path) and os.environ.get("RANK", "0") == "0"
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        if first and path.is_file():
            sys.stderr.write(path.read_text(encoding="utf-8", errors="replace"))
        os.environ[JOURNAL] = str(path)


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
