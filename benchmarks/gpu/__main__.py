"""Everything that only a GPU can show, most important first: `make gpu`.

    python -m benchmarks.gpu                  on a machine with a GPU; run again, it goes on with what is left
    python -m benchmarks.gpu --plan           parts, minutes and predictions; measures nothing
    python -m benchmarks.gpu --rehearse       every part at toy size, also without a GPU
    python -m benchmarks.gpu.pack --source F  before, where CIFAR-10 is: the images that travel to the GPU

Each part is a process of its own that is stopped after its minutes. A figure that fails is reported and the
rest goes on; then the status is 1, and 75 where parts are left because the time given is up.
"""

import argparse
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.gpu.figures import Place, Record
from benchmarks.gpu.parts import PARTS, Part
from benchmarks.gpu.table import plan, table
from condense.base.arithmetic import PASSIVE, THREADS
from condense.base.errors import InputError
from condense.base.storage import replacing

OUT = Path("benchmarks/out")
DATA = OUT / "cifar10"
TOY_MINUTES = 10  # after which a part of a rehearsal is stopped


def arguments() -> argparse.Namespace:
    """Words of the command line. Not by typer, which needs pydantic, and a machine with a GPU need not."""
    parser = argparse.ArgumentParser("python -m benchmarks.gpu", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, help="Folder of the figures: JSON, table.md.")
    parser.add_argument("--data", type=Path, default=DATA, help="Images from benchmarks.gpu.pack.")
    names = [part.name for part in PARTS]
    parser.add_argument("--only", action="append", choices=names, help="Part to run; repeat it for several.")
    parser.add_argument("--minutes", type=float, default=1e9, help="Begin no part that may take longer.")
    parser.add_argument("--rehearse", action="store_true", help="Every part at toy size.")
    parser.add_argument("--plan", action="store_true", help="Print parts, minutes and predictions.")
    return parser.parse_args()


def main() -> None:
    """Measure what is not measured yet."""
    began, given = time.monotonic(), arguments()
    folder = given.output or OUT / ("rehearsal" if given.rehearse else "gpu")
    parts = [part for part in PARTS if not given.only or part.name in given.only]
    place = Place(folder, given.data, given.rehearse)
    if given.plan:
        return print(plan(parts, place))
    if place.device.type != "cuda" and not given.rehearse:
        sys.exit("There is no GPU here: --rehearse runs every part at toy size, --plan tells what there is.")
    left = []
    for part in parts:
        limit = TOY_MINUTES if given.rehearse else part.minutes
        if (time.monotonic() - began) / 60 + limit > given.minutes:
            left.append(part.name)
            continue
        try:
            run(part, place, limit)
        except InputError as error:
            sys.exit(str(error))
        with replacing(folder / "table.md") as beside:
            beside.write_text(table(PARTS, place), encoding="utf-8")
    print(f"\n{(folder / 'table.md').read_text(encoding='utf-8')}" if len(left) < len(parts) else "")
    failed = [part.name for part in parts if part.name not in left and not record_of(part, place).complete]
    if failed:
        sys.exit(f"Failed: {', '.join(failed)}; see {folder}/PART.log, run again to repeat what failed.")
    if left:
        print(f"Left for want of time: {', '.join(left)}; run again to go on.", file=sys.stderr)
        sys.exit(75)


def record_of(part: Part, place: Place) -> Record:
    """What is known of a part."""
    return Record(place.folder / f"{part.name}.json", place)


def run(part: Part, place: Place, minutes: float) -> None:
    """Measure what is left of a part; a process that dies is followed by another for the figures after."""
    record = record_of(part, place)
    if record.complete:
        print(f"{part.name}: done before", flush=True)
        return
    record.forget_failures()
    record.save()
    log, deadline = record.path.with_suffix(".log"), time.monotonic() + 60 * minutes
    words = [part.name, str(place.folder), str(place.data), "toy" if place.rehearsal else "real"]
    print(f"{part.name}: at most {minutes:g} minutes", flush=True)
    tried = -1
    while len(record.rows) > tried:  # else the process died before it tried another figure
        tried = len(record.rows)
        status = work(words, log, deadline - time.monotonic(), place.rehearsal)
        record = record_of(part, place)
        ended = f"the process ended with {status}"
        record.end(f"stopped after {minutes:g} minutes" if status is None else ended)
        if status in (0, None):
            return


def work(words: list[str], log: Path, seconds: float, rehearsal: bool) -> int | None:
    """Status of the process of a part, which writes to a log; None where its time was up."""
    # beside other work on few cores, threads that spin while they wait cost more than they bring
    threads = dict.fromkeys(THREADS, "1") | PASSIVE if rehearsal else {}
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.gpu.work", *words],
            env=os.environ | threads,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            return process.wait(max(1.0, seconds))
        except subprocess.TimeoutExpired:
            return None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started
                process.wait()


if __name__ == "__main__":
    torch.set_num_threads(1)  # predictions need no more
    main()
