"""Detectors: networks in whose features images are compared. The FID Inception, or any encoder artefact.

The FID Inception is the network of December 2015 that FID was defined with (Heusel et al. 2017), not
torchvision's. Two files hold it: `inception-2015-12-05.pt`, the TorchScript that clean-fid uses, and
`weights-inception-2015-12-05-6726825d.pth`, torch-fidelity's.
"""

import hashlib
import pickle
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor, nn

from condense.base.errors import InputError
from condense.base.precision import full_precision
from condense.base.storage import file_digest
from condense.encoders.encoder import BATCH, FrozenEncoder
from condense.images.preprocess import Preprocess

SIDE = 299  # of the FID Inception's input
SPATIAL = 7  # channels of the first branch of its block mixed_6: 7 x 17 x 17 numbers, about as many as pooled
FILES = {
    ".pt": "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt",
    ".pth": "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
    "weights-inception-2015-12-05-6726825d.pth",
}
Resize = Literal["tensorflow", "clean"]


class Outputs(NamedTuple):
    """Features [b, d]; logits [b, k] and spatial features [b, s] where the network has them; float32."""

    features: Tensor
    logits: Tensor | None
    spatial: Tensor | None


class Detector:
    """`features, logits, spatial = detector(images)`: images uint8 [b, 3, h, w] -> float32 on its device.

    `digest` names its numbers; the same as an encoder, it can `prepare` single images and `encode` them.
    """

    name: str
    digest: str
    device: torch.device
    preprocess: Preprocess
    classes: Sequence[str] | None = None

    def __call__(self, images: Tensor) -> Outputs:
        """Outputs for images of one size."""
        return self.detect(
            np.stack([self.prepare(image) for image in images.permute(0, 2, 3, 1).cpu().numpy()])
        )

    @property
    def batch(self) -> int:
        """Images per forward pass."""
        return BATCH[self.device.type]

    def prepare(self, image: Any) -> np.ndarray:
        """Pixels of one image as `detect` takes them: of a Pillow image, or uint8 [h, w, 3]."""
        return np.asarray(image)

    def detect(self, pixels: np.ndarray) -> Outputs:
        """Features, logits and spatial features of prepared images [b, h, w, 3]."""
        raise NotImplementedError

    def encode(self, pixels: np.ndarray) -> Tensor:
        """Features [b, d] of prepared images."""
        return self.detect(pixels).features


class Inception(Detector):
    """The FID Inception: 2,048 features, 1,008 logits without bias as in ADM's evaluator, 2,023 spatial.

    `resize` is how images become 299 pixels wide: "tensorflow", bilinear without antialiasing, as in ADM's
    evaluator and most published numbers; "clean", Pillow's bicubic, as in clean-fid (Parmar et al. 2022).
    Raises InputError for a missing file and for one that holds another network.
    """

    def __init__(self, path: Path, resize: Resize = "tensorflow", device: str = "cpu") -> None:
        path = Path(path)
        if resize not in get_args(Resize):
            raise InputError(f"resize is {resize!r}; it must be tensorflow or clean.")
        if path.suffix not in FILES or not path.is_file():
            raise InputError(
                f"{path} is not the FID Inception: download {' or '.join(FILES.values())} and name that file."
            )
        self.name = f"fid-inception-{resize}"
        self.resize = resize
        self.device = torch.device(device)
        self.digest = hashlib.sha256(f"{resize} {file_digest(path)}".encode()).hexdigest()
        self.preprocess = Preprocess(side=SIDE, resize=SIDE, mode="squash")
        self._resizer = _resizer(resize)
        self._network = {".pt": _read_script, ".pth": _read_weights}[path.suffix](path, self.device)

    def prepare(self, image: Any) -> np.ndarray:
        """float32 [299, 299, 3] in 0..255 of one RGB image, Pillow's or uint8 [h, w, 3]."""
        return self._resizer(np.asarray(image))

    @torch.inference_mode()
    @full_precision()
    def detect(self, pixels: np.ndarray) -> Outputs:
        """Features, logits and spatial features of prepared images [b, 299, 299, 3]."""
        images = torch.from_numpy(np.ascontiguousarray(pixels)).to(self.device).permute(0, 3, 1, 2)
        return self._network.detect(images)


@dataclass(frozen=True)
class _Network:
    """Stages of the FID Inception in order, the stage and branch of its spatial features, its head [k, d]."""

    stages: dict[str, nn.Module]
    tap: tuple[str, str]
    head: Tensor

    def detect(self, images: Tensor) -> Outputs:
        """Outputs for images [b, 3, 299, 299] in 0..255."""
        x = (images - 128) / 128
        spatial = None
        for name, stage in self.stages.items():
            if name == self.tap[0]:
                branch = getattr(stage, self.tap[1])(x)[:, :SPATIAL]
                spatial = branch.permute(0, 2, 3, 1).flatten(1)  # the order of ADM's stored statistics
            x = stage(x)
        features = x.flatten(1)
        return Outputs(features, features @ self.head.T, spatial)


def _resizer(resize: Resize) -> Callable[[np.ndarray], np.ndarray]:
    """Function from an image uint8 [h, w, 3] to float32 [299, 299, 3] in 0..255."""
    if resize == "clean":
        from cleanfid.resize import make_resizer

        return make_resizer("PIL", False, "bicubic", (SIDE, SIDE))
    return lambda image: as_tensorflow(torch.from_numpy(image.astype(np.float32))).numpy()


def as_tensorflow(images: Tensor) -> Tensor:
    """Images [..., h, w, 3] -> float32 [..., 299, 299, 3], bilinear as in TensorFlow 1, not antialiased.

    Pixel i of the result lies at i * h / 299 of the image. Equals torch-fidelity's function to the bit, which
    gathers all four neighbours of every pixel; columns first and then rows take a seventh of its time.
    """
    images = images.float()
    for dim in (-2, -3):
        size = images.shape[dim]
        place = torch.arange(SIDE, dtype=torch.float32) * torch.tensor(size / SIDE)
        low = place.long()
        share = (place - low).reshape(SIDE, *(1,) * (-1 - dim)).to(images.device)
        below = images.index_select(dim, low.to(images.device))
        above = images.index_select(dim, (low + 1).clamp_max(size - 1).to(images.device))
        images = above.sub_(below).mul_(share).add_(below)
    return images


def _read_script(path: Path, device: torch.device) -> _Network:
    """Take the TorchScript apart, and check the parts against the whole."""
    try:
        script = torch.jit.load(path, map_location=device).eval()
        matrices = [tensor for tensor in script.state_dict().values() if tensor.ndim == 2]
        network = _Network(dict(script.layers.named_children()), ("mixed_6", "conv"), *matrices)
        with torch.inference_mode(), full_precision():
            probe = torch.randint(0, 256, (2, 3, 64, 48), generator=torch.Generator().manual_seed(0))
            probe = probe.to(device, torch.uint8)
            seen = network.detect(as_tensorflow(probe.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
            features = script(probe, return_features=True).flatten(1)
            probabilities = script(probe, no_output_bias=True)
    except (RuntimeError, AttributeError, TypeError) as error:
        raise InputError(
            f"{path} is not clean-fid's Inception ({_first_line(error)}); download it again."
        ) from None
    if seen.spatial is None or not (
        torch.allclose(seen.features, features, rtol=1e-2, atol=1e-3)
        and torch.allclose(seen.logits.softmax(1), probabilities, rtol=1e-2, atol=1e-3)
    ):
        raise InputError(f"{path} is not clean-fid's Inception: its stages do not add up; download it again.")
    return network


def _read_weights(path: Path, device: torch.device) -> _Network:
    """Fill torch-fidelity's network; its file is first read without executing what may be in it."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    try:
        torch.load(path, weights_only=True, map_location="cpu")
        network = FeatureExtractorInceptionV3("inception", ["2048"], str(path)).to(device)
    except (RuntimeError, pickle.UnpicklingError, AttributeError, TypeError, EOFError) as error:
        reason = _first_line(error)
        raise InputError(f"{path} is not torch-fidelity's Inception ({reason}); download it again.") from None
    stages = dict(network.named_children())
    head = stages.pop("fc").weight
    return _Network(stages, ("Mixed_6d", "branch1x1"), head)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


class Encoded(Detector):
    """An encoder artefact as detector: its features, and logits where it has a head of its own."""

    def __init__(self, path: Path, device: str = "cpu") -> None:
        self._encoder = FrozenEncoder(path, device)
        self.name = self._encoder.name
        self.digest = self._encoder.digest
        self.device = self._encoder.device
        self.classes = self._encoder.classes
        self.preprocess = self._encoder.preprocess

    def prepare(self, image: Any) -> np.ndarray:
        """uint8 [side, side, 3], resized and cropped as the encoder's model wants it."""
        return self._encoder.prepare(image)

    def detect(self, pixels: np.ndarray) -> Outputs:
        """Features, and logits where there is a head, of prepared images [b, side, side, 3]."""
        features = self._encoder.encode(pixels)
        return Outputs(features, self._encoder.logits(features) if self._encoder._head else None, None)


def open_detector(path: Path, resize: Resize = "tensorflow", device: str | None = None) -> Detector:
    """Open the FID Inception (.pt, .pth) or an encoder artefact (.safetensors), by default on a GPU."""
    device = device or ("cuda" if torch.cuda.is_available() else "cpu")
    return Encoded(path, device) if Path(path).suffix == ".safetensors" else Inception(path, resize, device)
