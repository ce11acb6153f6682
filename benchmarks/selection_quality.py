"""Final objective of the release's procedure and of this package's, class by class, on real images.

    CONDENSE_DATA=FOLDER python benchmarks/selection_quality.py [--budget 10 --budget 50] [--cache FOLDER]

scikit-learn's digits (features of a small fitted network), and where CONDENSE_DATA names a folder with
imagenette_train/ and weights/mobilenetv2_100.safetensors, Imagenette in that network's features. The command
computes the features; --cache keeps them. Both procedures minimise the same objective, with the confidence
averaged over the subset; both run on this package's transport, the release's in its own order of swaps.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import torch
import typer

from condense.config.settings import Gadc
from condense.selection.candidates import ImageClass, open_features
from condense.selection.objective import Objective
from condense.selection.search import exchange, exchange_as_released, greedy

DIGITS = {"images": ["--source", "digits"], "encoder": ["--kind", "fit"], "beta": 1.0}
EPSILON = 0.05  # of the class's median cost


def imagenette(data: Path) -> dict:
    timm = ["--kind", "timm", "--model", "mobilenetv2_100", "--options", '{"pad_type": "same"}']
    weights = ["--weights", str(data / "weights/mobilenetv2_100.safetensors")]
    own = '{"side": 224, "resize": 224, "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5]}'
    images = ["--source", "imagefolder", "--root", str(data / "imagenette_train")]
    return {"images": images, "encoder": [*timm, *weights, "--preprocess", own], "beta": 10.0}


def compute(folder: Path, study: dict) -> tuple[Path, Path]:
    """Embeddings and probabilities of a data set, by the pipeline's own commands, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    index, encoder = folder / "index.csv", folder / "encoder.safetensors"
    embeddings, probabilities = folder / "embeddings.h5", folder / "probabilities.h5"
    inputs = [str(index)] if "fit" in study["encoder"] else []
    files = ["--index", index, "--encoder", encoder, "--state", folder / "state", "--output", embeddings]
    commands = {
        index: ["index", *study["images"], "--output", index],
        encoder: ["encoder", *inputs, *study["images"], *study["encoder"], "--output", encoder],
        embeddings: ["embed", *study["images"], *files],
        probabilities: [
            "classify",
            "--embeddings",
            embeddings,
            "--classifier",
            encoder,
            "--output",
            probabilities,
        ],
    }
    for output, words in commands.items():
        if not output.exists():
            subprocess.run([sys.executable, "-m", "condense", *map(str, words)], check=True)
    return embeddings, probabilities


def compare(images: ImageClass, budget: int, beta: float, restarts: int) -> tuple[float, float, float, float]:
    """(objective, processor seconds) of the released procedure, then of this package's."""
    ours = Gadc(epsilon=EPSILON, epsilon_unit="median", beta=beta, restarts=restarts)
    released = dataclasses.replace(ours, confidence="candidate")
    features = torch.from_numpy(images.features())[None]
    nll = -torch.from_numpy(images.log_probability)[None]
    began = time.process_time()
    objective = Objective(features, nll, released)
    theirs = exchange_as_released(objective, greedy(objective, budget), released.swaps)
    middle = time.process_time()
    objective = Objective(features, nll, ours)
    end = exchange(objective, greedy(objective, budget), restarts)
    return theirs.value.item(), middle - began, end.value.item(), time.process_time() - middle


def main(
    budget: Annotated[
        list[int] | None, typer.Option(help="Images per class; 10 and 50 when not given.")
    ] = None,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps the features.")] = None,
    restarts: Annotated[int, typer.Option(help="Setting of that name.")] = Gadc.restarts,
    classes: Annotated[int | None, typer.Option(help="Only the first so many classes.")] = None,
    threads: Annotated[int, typer.Option(help="Compute threads.")] = 1,
) -> None:
    """Print a table of both objectives for every class."""
    torch.set_num_threads(threads)
    studies = {"digits": DIGITS}
    if data := os.environ.get("CONDENSE_DATA"):
        studies["imagenette"] = imagenette(Path(data))
    with tempfile.TemporaryDirectory() as temporary:
        for name, study in studies.items():
            embeddings, probabilities = compute((cache or Path(temporary)) / name, study)
            with open_features(embeddings, probabilities) as found:
                for count in budget or [10, 50]:
                    report(name, found[:classes], count, study["beta"], restarts)


def report(name: str, classes: list[ImageClass], budget: int, beta: float, restarts: int) -> None:
    print(f"\n{name}, {budget} per class, beta {beta:g}, {restarts} restarts")
    print("| class | images | released | CPU s | ours | CPU s | ours / released |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    rows = []
    for images in classes:
        rows.append(compare(images, budget, beta, restarts))
        theirs, slow, ours, fast = rows[-1]
        print(
            f"| {images.name} | {len(images.paths)} | {theirs:.3f} | {slow:.1f} | {ours:.3f} | {fast:.1f} "
            f"| {ours / theirs:.4f} |",
            flush=True,
        )
    table = torch.tensor(rows, dtype=torch.float64)
    theirs, slow, ours, fast = table.mean(0).tolist()
    below = (table[:, 2] <= table[:, 0] * (1 + 1e-9)).sum().item()
    print(f"| mean | | {theirs:.3f} | {slow:.1f} | {ours:.3f} | {fast:.1f} | {ours / theirs:.4f} |")
    print(f"at or below the released procedure in {below} of {len(rows)} classes")


if __name__ == "__main__":
    typer.run(main)
