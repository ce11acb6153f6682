"""Small trainings as commands that can be disturbed and run again."""

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.torch import load_file

from commands import call
from condense.training.train import train

NETWORK = ["--depth", "1", "--width", "16", "--heads", "2", "--patch", "4"]
STEPS = ["--steps", "40", "--batch", "8", "--checkpoint-every", "20", "--ema", "0.9"]
ROOT = Path(__file__).parents[1]


class Training:
    """One training in a folder of its own, as a command that can be run again."""

    command = staticmethod(train)

    def __init__(self, folder: Path, latents: Path, *options: str) -> None:
        self.folder, self.states = folder, folder / "state"
        self.weights, self.history = folder / "seed0.safetensors", folder / "history.jsonl"
        files = {
            "latents": latents,
            "output": self.weights,
            "history": self.history,
            "state-folder": self.states,
        }
        words = [word for name, path in files.items() for word in (f"--{name}", str(path))]
        self.words = [*words, "--objective", "flow", *NETWORK, *STEPS, *options]

    def run(self) -> str:
        """Run it in this process."""
        return call(self.command, *self.words)

    def spawn(self, prelude: str = "", **environment: str) -> subprocess.Popen:
        """Start it in a process of its own, after some Python that prepares a fault."""
        program = (
            "import os, signal, sys\nfrom condense import __main__\nfrom condense.base import storage\n"
            f"from condense.training import state\n{prelude}\n__main__.main()"
        )
        path = {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-c", program, self.command.__name__, *self.words],
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | path | environment,
        )

    def saved(self) -> list[int]:
        """Steps of the states, newest first."""
        return sorted((int(path.stem[5:]) for path in self.states.glob("*/step_*.safetensors")), reverse=True)

    def newest(self) -> Path:
        """Path of the newest state."""
        return max(self.states.glob("*/step_*.safetensors"))

    def bytes(self) -> list[bytes]:
        """What the run leaves."""
        return [self.weights.read_bytes(), self.history.read_bytes()]


def write_latents(path: Path, count: int = 12, deviation: bool = True) -> Path:
    """Seeded latents [count, 2, 4, 8, 8] of 3 classes."""
    random = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file.attrs["classes"] = 3
        file["path"] = np.array([f"c/{i:02}.png" for i in range(count)], dtype=h5py.string_dtype())
        file["label"] = np.arange(count) % 3
        file["mean"] = random.normal(size=(count, 2, 4, 8, 8)).astype(np.float16)
        if deviation:
            file["deviation"] = np.full((count, 2, 4, 8, 8), 0.1, np.float16)
    return path


def assert_close(one: Training, other: Training) -> None:
    """Both runs took the same steps, but for the order of sums."""
    ours, theirs = load_file(one.newest()), load_file(other.newest())
    for name in theirs:
        torch.testing.assert_close(ours[name], theirs[name], rtol=1e-4, atol=1e-5)
    assert not torch.equal(ours["history"], theirs["history"])
