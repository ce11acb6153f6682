"""Check the FID Inception and the metrics against published figures.

    python benchmarks/inception_check.py --weights weights-inception-2015-12-05-6726825d.pth --cifar10 FOLDER
    python benchmarks/inception_check.py --weights inception-2015-12-05.pt --cifar10 FOLDER \\
        --samples admnet_guided_upsampled_imagenet256.npz --reference VIRTUAL_imagenet256_labeled.npz

Weights: https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth
or clean-fid's inception-2015-12-05.pt. FOLDER holds cifar-10-batches-py, or will with --download; its first
5,000 training images are scored against its first 5,000 test images, as in torch-fidelity's tests. The
archives are ADM's, scored as in its README. The status is 1 where a figure is missed. torch-fidelity's
precision and recall are of VGG features and are not among the figures.
"""

import json
import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from condense.base.progress import track
from condense.encoders.detectors import Detector, Outputs, open_detector
from condense.scoring.frechet import fit, frechet_distance
from condense.scoring.image_sets import detect_images, detect_reference
from condense.scoring.inception_score import inception_score
from condense.scoring.kernel_distance import kernel_distance
from condense.scoring.metrics import score_features

GOLDEN = Path(__file__).parents[1] / "tests" / "golden" / "metrics.json"
IMAGES = 5000
ADM = {"isc": ("inception_score", 0.5), "fid": ("fid", 0.02), "sfid": ("sfid", 0.05)}
ADM |= {"precision": ("precision", 0.005), "recall": ("recall", 0.005)}  # there of half-precision distances


def detect(images: torch.Tensor, detector: Detector) -> Outputs:
    """Features and logits of images uint8 [n, 3, h, w]."""
    parts = [detector(part) for part in track(images.split(detector.batch), "detecting")]
    return Outputs(
        torch.cat([p.features.cpu() for p in parts]), torch.cat([p.logits.cpu() for p in parts]), None
    )


def scores(samples: Outputs, reference: Outputs) -> dict[str, float]:
    """FID, KID and IS under torch-fidelity's names and with its order of images and ten splits."""
    random = np.random.RandomState(2020)
    order = torch.from_numpy(random.permutation(len(samples.logits)))
    inception = inception_score(samples.logits[order], len(order) // 10)
    kernel = kernel_distance(samples.features, reference.features)
    return {
        "fid": frechet_distance(fit(samples.features), fit(reference.features)),
        "isc_mean": inception.mean,
        "isc_std": inception.std,
        "kid_mean": kernel.mean,
        "kid_std": kernel.std,
    }


def read_cifar10(folder: Path, train: bool, download: bool) -> torch.Tensor:
    """First images uint8 [5000, 3, 32, 32]; torchvision compares checksums."""
    from torchvision.datasets import CIFAR10

    images = CIFAR10(str(folder), train=train, download=download).data[:IMAGES]
    return torch.from_numpy(images).permute(0, 3, 1, 2)


def close(name: str, found: float, published: float, tolerance: float) -> bool:
    """Print one comparison."""
    agrees = abs(found - published) <= tolerance
    print(f"{name:20}{found:14.6g}{published:14.6g}{tolerance:10.2g}  {'agrees' if agrees else 'MISSED'}")
    return agrees


def main(
    weights: Annotated[Path, typer.Option(help="The FID Inception, .pt or .pth.")],
    cifar10: Annotated[Path, typer.Option(help="Folder of CIFAR-10.")],
    download: Annotated[bool, typer.Option(help="Download CIFAR-10 there first.")] = False,
    samples: Annotated[Path | None, typer.Option(help="ADM's samples (.npz).")] = None,
    reference: Annotated[Path | None, typer.Option(help="ADM's reference batch (.npz).")] = None,
) -> None:
    golden, detector = json.loads(GOLDEN.read_text()), open_detector(weights)
    print(f"{'metric':20}{'measured':>14}{'published':>14}{'within':>10}")
    published = golden["torch_fidelity_cifar10_5000"]
    within = {key: published["deltas"][key.split("_")[0]] for key in ("fid", "isc_mean", "isc_std")}
    within |= {"kid_mean": 1e-6, "kid_std": 1e-6}  # torch-fidelity sums in single precision
    seen = [detect(read_cifar10(cifar10, train, download), detector) for train in (True, False)]
    found = scores(*seen)
    agreed = [close(f"cifar10 {key}", found[key], published[key], within[key]) for key in within]
    if samples and reference:
        row = score_features(detect_images(samples, detector), detect_reference(reference, detector))
        published = golden["guided_diffusion_evaluator"]
        agreed += [
            close(f"adm {key}", row[name], published[key], delta) for key, (name, delta) in ADM.items()
        ]
    sys.exit(0 if all(agreed) else 1)


if __name__ == "__main__":
    typer.run(main)
