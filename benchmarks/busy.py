"""What busy neighbours cost: processor time of a selection on two threads, alone and beside busy programs.

    python benchmarks/busy.py [--neighbours 4]

Threads that spin while they wait for each other burn processor time when a neighbour has taken one's core.
The ratio should stay below 2; it is printed with and without passive waiting.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[1]
SPINNING = {"OMP_WAIT_POLICY": "ACTIVE", "GOMP_SPINCOUNT": "infinity"}


def select(features: Path, folder: Path, spin: bool) -> float:
    """Processor seconds of `select` with two threads."""
    prepare = "from condense.base import arithmetic\n"
    prepare += f"arithmetic.PASSIVE = {SPINNING!r}\n" if spin else ""
    program = f"{prepare}from condense.__main__ import main\nmain()"
    words = ["--threads", "2", "select", "--features", features, "--budget", 20, "--epsilon", 1]
    words += ["--epsilon-unit", "median", "--output", folder / "subset.csv"]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", program, *map(str, words)], env=environment, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure both ways of waiting, alone and with neighbours."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--neighbours", type=int, default=4)
    count = parser.parse_args().neighbours
    random = np.random.default_rng(0)
    print("| waiting | alone (s) | with busy neighbours (s) | ratio |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        features = Path(folder) / "features.npz"
        np.savez(features, features=random.normal(size=(1000, 256)), labels=np.zeros(1000, int))
        for name, spin in (("passive", False), ("spinning", True)):
            alone = select(features, Path(folder), spin)
            neighbours = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
            try:
                crowded = select(features, Path(folder), spin)
            finally:
                for neighbour in neighbours:
                    neighbour.kill()
                    neighbour.wait()
            print(f"| {name} | {alone:.1f} | {crowded:.1f} | {crowded / alone:.2f} |", flush=True)


if __name__ == "__main__":
    main()
