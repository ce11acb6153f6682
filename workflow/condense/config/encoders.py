"""Settings of an encoder: which network turns an image into features and class probabilities."""

from typing import Any, Literal

from condense.config.options import setting, settings

PREPROCESSING = ("side", "resize", "mode", "interpolation", "mean", "std")  # what an image goes through


@settings
class Encoder:
    """A pretrained network (timm, or the release's of torchvision), a fitted or an untrained one."""

    kind: Literal["timm", "torchvision", "fit", "untrained", "fid"] = setting(
        description="Where the network comes from; untrained is a ConvNet at its random start, fid the "
        "Inception of FID, for scoring only."
    )
    model: str | None = setting(
        None, "timm: any model; torchvision: inception_v3, googlenet, resnet50, resnet34, resnet18."
    )
    weights: str | None = setting(
        None, "Local weights (safetensors, or a PyTorch file); downloaded when none."
    )
    revision: str = setting("main", "timm: commit on the hub to download from.")
    sha256: str | None = setting(None, "Checksum that the weights file must have; unchecked when none.")
    options: dict[str, Any] | None = setting(None, 'timm: arguments of the model, as {"pad_type": "same"}.')
    preprocess: dict[str, Any] | None = setting(
        None, "Changes to the model's own preprocessing: side, resize, mode, interpolation, mean, std."
    )
    normalisation: Literal["model", "release"] = setting(
        "model", "Mean and std of the model, or none at all as in the authors' release."
    )
    precision: Literal["float32", "bfloat16", "float16"] = setting(
        "float32", "Arithmetic of the forward pass; features are always stored as float32."
    )
    resize: Literal["tensorflow", "clean"] = setting(
        "tensorflow", "fid: how images become 299 pixels wide, as in ADM's evaluator or as in clean-fid."
    )
    classifier: Literal["own", "linear"] = setting(
        "own",
        "Whose probabilities: the network's own head, or a linear one fitted on the study's features, as "
        "always of an untrained one.",
    )
    side: int = setting(8, "fit, untrained: side of the network's input, in pixels.", ge=8)
    depth: int = setting(3, "untrained: blocks of the ConvNet, each of which halves the side.", gt=0)
    epochs: int = setting(30, "fit: passes over the study's images.", gt=0)
    seed: int = setting(0, "fit, untrained: seed of weights and order.", ge=0)

    def __post_init__(self) -> None:
        for key in self.preprocess or {}:
            if key not in PREPROCESSING:
                raise ValueError(f"`preprocess` has no key {key}; known are {', '.join(PREPROCESSING)}")
        if self.kind in ("timm", "torchvision") and self.model is None:
            raise ValueError(f"kind {self.kind} needs `model`, the name of the network")
        pretrained = ("model", "weights", "sha256", "options", "preprocess")
        if self.is_own and (given := [key for key in pretrained if getattr(self, key) is not None]):
            raise ValueError(f"kind {self.kind} makes its own network and takes no {', '.join(given)}")
        if self.kind == "untrained" and self.side >> self.depth == 0:
            raise ValueError(f"`depth`: {self.depth} blocks halve {self.side} pixels to none; lower it")

    @property
    def is_own(self) -> bool:
        """Whether the study makes its weights, from a seed."""
        return self.kind in ("fit", "untrained")
