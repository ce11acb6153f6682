"""Pretrained networks of timm and torchvision: their weights, features, heads, classes and preprocessing."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from condense.base.errors import InputError
from condense.base.storage import file_digest
from condense.config.encoders import Encoder
from condense.config.networks import RELEASED
from condense.images.preprocess import IMAGENET, Preprocess

RAW = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


@dataclass(frozen=True)
class Imported:
    """A network that yields pooled features, its linear head (None without one), and what they expect."""

    network: nn.Module
    head: nn.Linear | None
    classes: Sequence[str] | None
    preprocess: Preprocess
    architecture: str
    options: dict[str, Any]


def import_timm(settings: Encoder) -> Imported:
    """Any timm model with its own data config, from a local file or the hub."""
    import timm
    from timm.data import ImageNetInfo, infer_imagenet_subset, resolve_model_data_config

    if not timm.is_model(settings.model):
        raise InputError(f"timm knows no model {settings.model!r}: see timm.list_models() for the names.")
    path = settings.weights or _from_hub(settings)
    state = read_weights(path, settings.model, settings.sha256)
    config = timm.get_pretrained_cfg(settings.model)
    rows = next((len(t) for name, t in state.items() if name == f"{config.classifier}.weight"), 0)
    options = settings.options or {}
    try:
        model = timm.create_model(settings.model, num_classes=rows, **options)
    except TypeError as error:
        raise InputError(f"timm's {settings.model} does not take these options ({error}).") from None
    _fill(model, state, f"{path} for timm's {settings.model}")
    head = model.get_classifier() if rows else None
    data = resolve_model_data_config(model)
    subset = infer_imagenet_subset(model) if rows else None
    return Imported(
        network=_without_head(model, head, data["input_size"][-1]),
        head=head if isinstance(head, nn.Linear) else None,
        classes=ImageNetInfo(subset).label_names() if subset else None,
        preprocess=_changed(_of_data_config(data, settings), settings),
        architecture=settings.model,
        options=options,
    )


def import_torchvision(settings: Encoder) -> Imported:
    """One of the release's four encoders, from a local file or torchvision's download."""
    from timm.data import ImageNetInfo
    from torchvision import models

    if settings.model not in RELEASED:
        raise InputError(f"torchvision encoder {settings.model!r} is not one of {', '.join(RELEASED)}.")
    version, resize, side = RELEASED[settings.model]
    url = models.get_model_weights(settings.model)[version].url
    path = settings.weights or _from_torchvision(url)
    model = _torchvision_network(settings.model)
    state = read_weights(path, settings.model, settings.sha256)
    state = {k: v for k, v in state.items() if not k.lower().startswith("aux")}
    head, model.fc = model.fc, nn.Identity()
    _fill(head, {k: state.pop(f"fc.{k}") for k in ("weight", "bias") if f"fc.{k}" in state}, path)
    _fill(model, state, f"{path} for torchvision's {settings.model}")
    scale = RAW if settings.normalisation == "release" else IMAGENET
    return Imported(
        network=model.eval(),
        head=head,
        classes=ImageNetInfo("imagenet-1k").label_names(),
        preprocess=_changed(
            Preprocess(side=side, resize=resize, interpolation="bilinear", **scale), settings
        ),
        architecture=settings.model,
        options={},
    )


def build(kind: str, architecture: str, options: dict[str, Any]) -> nn.Module:
    """The feature network of an artefact, before its weights are filled in."""
    if kind == "torchvision":
        network = _torchvision_network(architecture)
        network.fc = nn.Identity()
        return network
    import timm

    return timm.create_model(architecture, num_classes=0, **options)


def _torchvision_network(name: str) -> nn.Module:
    """A torchvision network without auxiliary heads, as its ImageNet weights expect it.

    Inception and GoogLeNet map ImageNet-normalised input to [-1, 1] themselves (`transform_input`).
    # RELEASE: without normalisation that mapping is applied to [0, 1] input all the same.
    """
    from torchvision import models

    extra = {"aux_logits": False, "transform_input": True, "init_weights": False}
    return models.get_model(name, weights=None, **({} if name.startswith("resnet") else extra))


def _without_head(model: nn.Module, head: nn.Module | None, side: int) -> nn.Module:
    """Let a timm model return pooled features, and check that its head turns them into its logits."""
    model.eval()
    probe = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = model(probe)
        model.reset_classifier(0)
        features = model(probe)
        if features.dim() != 2:
            raise InputError("The model does not pool its features to one vector per image: choose another.")
        if isinstance(head, nn.Linear) and not torch.allclose(head(features), logits, rtol=1e-3, atol=1e-3):
            raise InputError("The model's head is not linear in its pooled features: choose another model.")
    return model


def _of_data_config(data: dict[str, Any], settings: Encoder) -> Preprocess:
    """Preprocessing of timm's data config."""
    side = data["input_size"][-1]
    if data["crop_mode"] not in ("center", "squash") or data["input_size"][-2] != side:
        raise InputError(f"timm's {settings.model} wants input that is not a centre square: choose another.")
    scale = RAW if settings.normalisation == "release" else {key: tuple(data[key]) for key in ("mean", "std")}
    return Preprocess(
        side=side,
        resize=int(side / data["crop_pct"]),
        mode=data["crop_mode"],
        interpolation=data["interpolation"],
        **scale,
    )


def _changed(preprocess: Preprocess, settings: Encoder) -> Preprocess:
    """Apply the settings' changes."""
    return Preprocess.of(vars(preprocess) | (settings.preprocess or {}))


def read_weights(path: str | Path, model: str, sha256: str | None = None) -> dict[str, Tensor]:
    """Tensors of a weights file of a model, read without executing code."""
    from timm.models import load_state_dict

    if not Path(path).is_file():
        raise InputError(f"The weights {path} of {model} do not exist: correct `weights`.")
    if sha256 and (found := file_digest(path)) != sha256:
        raise InputError(f"{path} has SHA-256 {found}, not {sha256}: download it again.")
    try:
        return load_state_dict(str(path), weights_only=True)
    except Exception as error:  # safetensors, pickle, zip and timm each raise their own
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{path} cannot be read as weights ({reason}): download it again.") from None


def _fill(module: nn.Module, state: dict[str, Tensor], what: str) -> None:
    """Load a state strictly; the first missing or surplus name is in the sentence."""
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = str(error).split("\n\t")[1:2] or [str(error)]
        raise InputError(f"The weights do not fit: {what}: {reason[0][:200].strip()}") from None


def _from_hub(settings: Encoder) -> str:
    """Download a timm model's weights, or say where they are to be had."""
    import timm
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    repository = timm.get_pretrained_cfg(settings.model).hf_hub_id
    if not repository:
        raise InputError(f"timm has no pretrained {settings.model}: give its `weights`, a local file.")
    try:
        return hf_hub_download(repository, "model.safetensors", revision=settings.revision)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        url = f"https://huggingface.co/{repository}/resolve/{settings.revision}/model.safetensors"
        raise InputError(
            f"The weights of {settings.model} could not be downloaded: "
            f"fetch {url} elsewhere and name the file in `weights`."
        ) from None


def _from_torchvision(url: str) -> Path:
    """Download torchvision's weights, whose checksum is in their name, or say where they are to be had."""
    file = Path(url).name
    path = Path(torch.hub.get_dir()) / "checkpoints" / file
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            torch.hub.download_url_to_file(url, str(path), file.split("-")[-1].split(".")[0], progress=False)
        except OSError:
            raise InputError(
                f"The weights {file} could not be downloaded: "
                f"fetch {url} elsewhere and name the file in `weights`."
            ) from None
    return path
