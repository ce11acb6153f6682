"""Stage 2: log-probabilities of each image's own class and of its strongest rival, from cached features."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from torch import Tensor

from condense.base.artefacts import read_artefact, write_artefact
from condense.base.errors import InputError
from condense.base.progress import say, track
from condense.base.shards import open_shard, read_text, write_shard
from condense.encoders.encoder import apply_head

FOLDS = 5
STRENGTH = 1.0  # inverse weight of the squared norm, on standardised features


def log_probabilities(logits: Tensor, own: int | Tensor) -> tuple[Tensor, Tensor]:
    """(log p of the own class, largest log p of another class), each float32 [n], of logits [n, k]."""
    logp = torch.log_softmax(logits.double(), dim=1)
    own = torch.as_tensor(own).expand(len(logp))[:, None]
    rivals = logp.scatter(1, own, -torch.inf)
    return logp.gather(1, own)[:, 0].float(), rivals.amax(1).float()


def column_of(name: str, classes: Sequence[str] | None, encoder: str) -> int:
    """Output of the head that stands for a class; InputError where the head does not know it."""
    if classes is None or name not in classes:
        raise InputError(
            f"The classifier of encoder {encoder} does not know class {name!r}: set its `classifier: linear`."
        )
    return classes.index(name)


def fold_of(paths: Sequence[str], folds: int = FOLDS) -> np.ndarray:
    """Fold of each image of one class, int [n]: dealt out in the order of a hash of the path."""
    order = sorted(range(len(paths)), key=lambda i: hashlib.sha256(paths[i].encode()).digest())
    fold = np.empty(len(paths), np.int64)
    fold[order] = np.arange(len(paths)) % folds
    return fold


def fit_head(features: np.ndarray, labels: np.ndarray, fold: np.ndarray) -> tuple[Tensor, Tensor]:
    """Weights [folds, k, d] and biases [folds, k] of logistic regressions that each leave one fold out.

    So that an image's probabilities come from a regression that has not seen it: else they are overconfident.
    """
    from sklearn.linear_model import LogisticRegression

    mean, std = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    scaled = ((features - mean) / np.where(std > 0, std, 1)).astype(np.float32)
    weights, biases = [], []
    for left_out in track(range(FOLDS), "head"):
        kept = fold != left_out
        model = LogisticRegression(C=STRENGTH, max_iter=1000).fit(scaled[kept], labels[kept])
        weight, bias = model.coef_, model.intercept_
        if len(weight) == 1:  # two classes: one row stands for the second against the first
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
        weights.append(weight / np.where(std > 0, std, 1))
        biases.append(bias - weights[-1] @ mean)
    return torch.from_numpy(np.stack(weights)).float(), torch.from_numpy(np.stack(biases)).float()


def head(
    embeddings: Annotated[list[Path], typer.Argument(help="All embeddings shards of the encoder.")],
    output: Annotated[Path, typer.Option(help="Fitted head to write, a safetensors file.")],
) -> None:
    """Fit a linear head on cached features, for classes that the encoder's own head does not know."""
    found: dict[str, tuple[int, np.ndarray, list[str]]] = {}
    for path in embeddings:
        with open_shard(path) as file:
            attributes = dict(file.attrs)
            for name, group in file.items():
                found[name] = group.attrs["class_index"], group["features"][()], read_text(group["paths"])
    classes = sorted(found, key=lambda name: found[name][0])
    if len(classes) < 2 or min(len(found[name][2]) for name in classes) < 2:
        raise InputError("A linear classifier needs two or more classes of two or more images each.")
    members = [found[name] for name in classes]
    labels = np.repeat(np.arange(len(classes)), [len(paths) for _, _, paths in members])
    fold = np.concatenate([fold_of(paths) for _, _, paths in members])
    weight, bias = fit_head(np.concatenate([features for _, features, _ in members]), labels, fold)
    about = {"kind": "linear", "classes": classes, "encoder": str(attributes["digest"])}
    write_artefact(output, about, {"head.weight": weight, "head.bias": bias})
    say(f"linear classifier of {len(classes)} classes fitted on {len(labels)} images -> {output}")


def classify(
    embeddings: Annotated[Path, typer.Option(help="Embeddings shard.")],
    classifier: Annotated[Path, typer.Option(help="The encoder's artefact, or a fitted head.")],
    output: Annotated[Path, typer.Option(help="HDF5 file to write.")],
) -> None:
    """Turn cached features into log-probabilities of the own class and of the strongest other one."""
    about, tensors = read_artefact(classifier, "a classifier", "head.")
    parts = [tensors[key] for key in ("head.weight", "head.bias") if key in tensors]
    groups = []
    right = []
    with open_shard(embeddings) as file:
        _check_origin(file.attrs["digest"], about, classifier)
        attributes = {key: str(file.attrs[key]) for key in ("encoder", "digest")}
        for name, group in file.items():
            features, paths = torch.from_numpy(group["features"][()]), read_text(group["paths"])
            logits = _logits(parts, features, paths, attributes["encoder"])
            own, rival = log_probabilities(logits, column_of(name, about["classes"], attributes["encoder"]))
            right.append(own > rival)
            arrays = {"log_probability": own.numpy(), "log_runner_up": rival.numpy(), "paths": paths}
            groups.append((name, group.attrs["class_index"], arrays))
    write_shard(output, attributes, groups)
    accuracy = float(torch.cat(right).double().mean()) if right else float("nan")
    say(f"accuracy {accuracy:.4f} -> {output}")


def _logits(head: list[Tensor], features: Tensor, paths: list[str], encoder: str) -> Tensor:
    """Logits [n, k] of one class's features; of a fitted head, by the part that has not seen the image."""
    if not head or head[0].dim() == 2:
        return apply_head(head, features, encoder)
    fold = torch.from_numpy(fold_of(paths))
    logits = torch.empty(len(features), head[0].shape[1])
    for number, (weight, bias) in enumerate(zip(*head, strict=True)):
        logits[fold == number] = apply_head([weight, bias], features[fold == number], encoder)
    return logits


def _check_origin(digest: str, about: dict, classifier: Path) -> None:
    """Features must be those that the classifier is for."""
    from condense.base.storage import file_digest

    expected = about["encoder"] if about["kind"] == "linear" else file_digest(classifier)
    if digest != expected:
        raise InputError(f"{classifier} is the classifier of other features: embed the images again.")
