"""Images per second of a student's training against a plain PyTorch loop, and against the bare pass.

Same network (ConvNet-3, 32 pixels), batch and kinds of augmentation: random crop, flip, colour. The plain
loop is what people write: a DataLoader over Pillow images with torchvision's transforms. A loader's worker
is a process beside the threads.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from condense.base.memory import keep_freed_memory
from condense.config.options import build
from condense.config.recipes import StudentTraining
from condense.config.students import StudentNetwork
from condense.students.augment import Augmentation
from condense.students.data import ImageSet
from condense.students.learner import StudentTrainer
from condense.students.networks import initialised
from condense.students.recipes import Course

IMAGES, BATCH, SIDE, CLASSES = 200, 100, 32, 10
COLOURS = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}


class Pictures(Dataset):
    """Images in memory, transformed one by one."""

    def __init__(self, pixels: np.ndarray, labels: torch.Tensor) -> None:
        self.images, self.labels = [Image.fromarray(image) for image in pixels], labels
        self.transform = transforms.Compose(
            [
                transforms.RandomResizedCrop(SIDE, scale=(0.5, 1.0)),
                transforms.RandomHorizontalFlip(),
                transforms.ColorJitter(**COLOURS),
                transforms.ToTensor(),
                transforms.Normalize((0.5,) * 3, (0.25,) * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, number: int):
        return self.transform(self.images[number]), self.labels[number]


def network(width: int) -> torch.nn.Module:
    return initialised(StudentNetwork(width=width), SIDE, CLASSES, 0)


def plain(pixels: np.ndarray, labels: torch.Tensor, width: int, workers: int) -> Callable[[], None]:
    model = network(width)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    several = {"num_workers": workers, "persistent_workers": workers > 0}
    loader = DataLoader(Pictures(pixels, labels), batch_size=BATCH, shuffle=True, **several)

    def epoch() -> None:
        for images, target in loader:
            loss = F.cross_entropy(model(images), target)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    return epoch


def ours(pixels: np.ndarray, labels: torch.Tensor, width: int) -> Callable[[], None]:
    given = {"crop": [0.5, 1.0], "flip": True, "epochs": 10**6, "batch": BATCH}
    chosen = build(StudentTraining, given | COLOURS)
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    data = ImageSet(images, labels, [], [*map(str, range(CLASSES))])
    augmentation = Augmentation(chosen, SIDE, torch.full((3,), 0.5), torch.full((3,), 0.25), 0)
    trainer = StudentTrainer(network(width), data, augmentation, Course.of(chosen, IMAGES, CLASSES), 0)

    def epoch() -> None:
        for _ in range(trainer.steps):
            trainer.advance(data)

    return epoch


def bare(labels: torch.Tensor, width: int) -> Callable[[], None]:
    model, images = network(width), torch.randn(IMAGES, 3, SIDE, SIDE)

    def epoch() -> None:
        for part, target in zip(images.split(BATCH), labels.split(BATCH), strict=True):
            model.zero_grad()
            F.cross_entropy(model(part), target).backward()

    return epoch


def measure(width: int, threads: int, rounds: int, clock: Callable[[], float]) -> None:
    """Print the best rate of each loop over some rounds, in which they take turns."""
    torch.set_num_threads(threads)
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, SIDE, SIDE, 3), np.uint8)
    labels = torch.arange(IMAGES) % CLASSES
    loops = {
        "plain loop, no workers": plain(pixels, labels, width, 0),
        "plain loop, 1 worker": plain(pixels, labels, width, 1),
        "condense learn": ours(pixels, labels, width),
        "bare forward and backward": bare(labels, width),
    }
    if clock is time.process_time:  # which does not see other processes
        del loops["plain loop, 1 worker"]
    best = dict.fromkeys(loops, 0.0)
    for loop in loops.values():
        loop()
    for _ in range(rounds):  # in turn, so that what else the machine does falls on all alike
        for name, loop in loops.items():
            began = clock()
            loop()
            best[name] = max(best[name], IMAGES / (clock() - began))
    told = ", ".join(f"{name} {rate:.0f}" for name, rate in best.items())
    ratios = [best["condense learn"] / rate for name, rate in best.items() if name != "condense learn"]
    print(f"width {width}, {threads} threads, images/s: {told}")
    print("condense learn / the others: " + ", ".join(f"{ratio:.2f}" for ratio in ratios), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 32, 8])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--processor", action="store_true", help="processor time, for a busy machine")
    given = parser.parse_args()
    keep_freed_memory()
    for width in given.widths:
        clock = time.process_time if given.processor else time.perf_counter
        measure(width, given.threads, given.rounds, clock)


if __name__ == "__main__":
    main()
