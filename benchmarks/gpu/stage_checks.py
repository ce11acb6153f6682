"""Part 1, from file to file: stages on the device leave what they leave on the CPU, given the same inputs."""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import torch
from torch import Tensor

from benchmarks.gpu.differences import CPU, difference
from benchmarks.gpu.drawn import write_images
from benchmarks.gpu.figures import Figure, Outcome, Place
from benchmarks.gpu.stages import seen, stage
from condense.base.artefacts import read_artefact
from condense.config.encoders import Encoder
from condense.config.recipes import Dc, DscoSoft
from condense.config.settings import Autoencoder, Gadc, Images, Network, Recipe, Sampling, Training
from condense.config.students import StudentNetwork

PIXELS = Autoencoder(path="")
GADC = Gadc(epsilon=0.05, epsilon_unit="median", beta=1.0)
SOFT = DscoSoft(recipe="dsco-soft", epochs=2)
# these round to bfloat16 on a GPU, or to TF32, as their training does
ROUNDED = {"generate": 2e-2, "learn": 1e-2, "learn soft labels": 1e-2, "relabel": 1e-2, "examine": 0.2}
OUTPUTS = {
    "embed": "embeddings.h5",
    "select": "subset.csv",
    "patches": "patches.h5",
    "latents": "latents.h5",
    "train": "generator.safetensors",
    "generate": "samples.npz",
    "reference": "reference.h5",
    "detect": "features.h5",
    "detect by an Inception": "inception.h5",
    "learn": "student.safetensors",
    "relabel": "labels.safetensors",
    "learn soft labels": "taught.safetensors",
    "examine": "confusion.csv",
}


def figures(place: Place) -> list[Figure]:
    """A figure of each stage that uses a device."""
    return [
        Figure(
            f"stage {label}",
            "difference",
            ROUNDED.get(label, 1e-3),
            "tolerance",
            partial(check, label, place.folder / "stages", place.device),
            most=True,
        )
        for label in OUTPUTS
    ]


def check(label: str, folder: Path, device: torch.device) -> Outcome:
    """What a stage leaves on the device against what it leaves on the CPU."""
    made, out = on_the_cpu(folder), folder / "device"
    with seen(device):
        works(made, out)[label]()
    found, expected = (read(place / OUTPUTS[label]) for place in (out, made))
    if label == "train":  # noise is drawn on the device, so that the weights are others
        if found.keys() != expected.keys() or not all(value.isfinite().all() for value in found.values()):
            raise AssertionError("the generator's weights are not finite")
        return Outcome(0.0, note="finite")
    return Outcome(difference(found, expected))


@cache
def on_the_cpu(folder: Path) -> Path:
    """The study, every stage of it on the CPU."""
    import timm
    from safetensors.torch import save_file

    from inceptions import write_script

    made = folder / "cpu"
    write_images(made / "images", classes=3, count=8, size=(32, 32))
    made.joinpath("device").mkdir(exist_ok=True)
    write_script(made / "inception.pt")
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), made / "weights.safetensors")
    with seen(CPU):
        images, index = Images(root=str(made / "images")), made / "index.csv"
        stage("index")(output=index, images=images)
        fitted = Encoder(kind="fit", epochs=1, side=32)
        stage("encoder")(output=made / "fit.safetensors", settings=fitted, images=images, index=[index])
        vit = Encoder(
            kind="timm",
            model="test_vit",
            options={"dynamic_img_size": True},
            weights=str(made / "weights.safetensors"),
        )
        stage("encoder")(output=made / "vit.safetensors", settings=vit, images=images)
        for label, work in works(made, made).items():
            work()
            if label == "embed":
                stage("classify")(
                    embeddings=made / "embeddings.h5",
                    classifier=made / "fit.safetensors",
                    output=made / "probabilities.h5",
                )
    return made


def works(made: Path, out: Path) -> dict[str, Callable[[], None]]:
    """Each stage, ready to run: its inputs from one folder, its output to another."""
    images = Images(root=str(made / "images"), validation=str(made / "images"))
    index, subset, fit = made / "index.csv", made / "subset.csv", made / "fit.safetensors"
    samples, student = [made / "samples.npz"], [made / "student.safetensors"]
    features = {"features": made / "embeddings.h5", "probabilities": made / "probabilities.h5"}
    sources = {"latents": made / "latents.h5", "patches": made / "patches.h5"}
    states = {"history": out / "history.jsonl", "state_folder": out / "states"}
    network = {"objective": "adm", "network": Network(depth=1, width=16, heads=2, patch=4)}
    training = {"training": Training(steps=3, batch=4, clip=1.0)}
    training["recipe"] = Recipe(alignment_block=1, alignment_hidden=16)
    sampling = {"sampling": Sampling(images=6, steps=3, batch=4), "autoencoder": PIXELS}
    subjects = {"images": images, "subset": subset}
    pupil = subjects | {"resolution": 32, "network": StudentNetwork(width=8)}
    given: dict[str, dict[str, Any]] = {
        "embed": {"index": index, "encoder": fit, "images": images, "state": out / "state"},
        "select": features | {"method": GADC, "budget": [3]},
        "patches": subjects | {"encoder": made / "vit.safetensors", "resolution": 32},
        "latents": subjects | {"index": index, "resolution": 32, "autoencoder": PIXELS},
        "train": sources | states | network | training,
        "generate": {"weights": made / "generator.safetensors", "shard": "1-of-1"} | sampling,
        "reference": {
            "index": index,
            "encoder": fit,
            "resolution": 32,
            "images": images,
            "state": out / "state",
        },
        "detect": {"samples": samples, "encoder": fit, "head": fit, "index": index},
        "detect by an Inception": {"samples": samples, "encoder": made / "inception.pt", "index": index},
        "learn": pupil | {"training": Dc(epochs=2)},
        "relabel": subjects | {"teacher": student},
        "learn soft labels": pupil | {"training": SOFT, "teacher": student},
        "examine": {"weights": student[0], "images": images, "confusion": out / OUTPUTS["examine"]},
    }
    outputs: dict[str, Any] = {label: out / name for label, name in OUTPUTS.items()}
    outputs |= {"select": [outputs["select"]], "examine": out / "accuracy.csv"}
    words = {"detect by an Inception": "detect", "learn soft labels": "learn"}
    return {
        label: partial(stage(words.get(label, label)), output=outputs[label], **chosen)
        for label, chosen in given.items()
    }


def read(path: Path) -> dict[str, Tensor]:
    """Numbers of a file, by name; pixels and counts as numbers that may be rounded."""
    if path.suffix == ".safetensors":
        tensors = read_artefact(path, "an artefact")[1]
        last = [value.flatten() for name, value in tensors.items() if name.startswith("last.")]
        # of a student as a whole: AdamW moves a bias whose gradient is noise as far as any other weight
        return {"weights": torch.cat(last)} if last else tensors
    found: dict[str, np.ndarray] = {}
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        numbers = {name: values.to_numpy() for name, values in table.select_dtypes("number").items()}
        return {name: torch.from_numpy(values.astype(np.float64)) for name, values in numbers.items()} | {
            ",".join(table.iloc[:, 0]): torch.zeros(0)
        }
    if path.suffix == ".npz":
        with np.load(path) as archive:
            found = dict(archive)
    else:
        with h5py.File(path) as file:
            file.visititems(partial(_collect, found))
    numeric = {name: values for name, values in found.items() if np.issubdtype(values.dtype, np.number)}
    return {
        name: torch.from_numpy(np.asarray(values, np.float64 if values.dtype == np.uint8 else values.dtype))
        for name, values in numeric.items()
    }


def _collect(found: dict[str, np.ndarray], name: str, part: Any) -> None:
    """Read a dataset of an HDF5 file."""
    if isinstance(part, h5py.Dataset):
        found[name] = np.asarray(part[()])
