"""What the jobs of a running study say: the newest logs, each with its last line."""

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from condense.base.errors import InputError

LAST = 4096  # bytes of a log that are looked at
WIDTH = 160  # characters of a line that are shown


def watch(
    folder: Annotated[Path, typer.Option(help="Folder of the logs.")] = Path("logs"),
    newest: Annotated[int, typer.Option(help="Number of logs, the newest ones.", min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Time between two looks.", min=0.1)] = 15,
    once: Annotated[bool, typer.Option("--once", help="Look once, and leave.")] = False,
) -> None:
    """Show the newest logs of a study's jobs with the last line of each, until interrupted."""
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder} here: go to a study's folder while its jobs run.")
    with suppress(KeyboardInterrupt):
        while True:
            print("\n".join(last_lines(folder, newest, time.time())) or f"no log in {folder} yet", flush=True)
            if once:
                return
            time.sleep(seconds)
            print()


def last_lines(folder: Path, newest: int, now: float) -> Iterator[str]:
    """Age, path and last line of the newest logs, the newest last; `now` is a time as of `time.time()`."""
    ages = []
    for path in folder.rglob("*.log"):
        with suppress(OSError):  # Snakemake removes the log of a job that starts again
            ages.append((now - path.stat().st_mtime, path))
    for age, path in sorted(ages)[:newest][::-1]:
        yield f"{_words(age)} ago  {path}: {_last(path)[:WIDTH]}"


def _last(path: Path) -> str:
    """The last line of a log that says anything."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - LAST))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return "gone"
    lines = [line.strip() for line in text.replace("\r", "\n").splitlines()]
    return next((line for line in reversed(lines) if line), "nothing said yet")


def _words(seconds: float) -> str:
    """An age, such as 15 s, 3 min or 2 h."""
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= unit:
            return f"{seconds / unit:3.0f} {name:3}"
    return f"{max(0.0, seconds):3.0f} s  "
