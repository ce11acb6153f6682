"""What pinned kernels cost: processor time of the same work with each library's own choice and pinned.

    python benchmarks/arithmetic.py [--rounds 3]

Works: fitting the small encoder on scikit-learn's digits, embedding 224-pixel images with MobileNetV2
(random weights take as long as trained ones), training steps of DiT-S/2 at latents of 32 x 32. Each runs in a
process of its own on one thread, native and pinned in turn; the ratio of medians is printed. Processor time,
so that other programs on the machine disturb little.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def fit() -> None:
    """Fit the small encoder for three epochs."""
    from sklearn.datasets import load_digits

    from condense.config.settings import Encoder
    from condense.encoders.fitted import fit

    digits = load_digits()
    images = (digits.images * 15).astype("uint8")[..., None].repeat(3, 3)
    fit(images, digits.target, Encoder(kind="fit", epochs=3))


def embed() -> None:
    """Embed 32 images four times."""
    import timm
    import torch

    network = timm.create_model("mobilenetv2_100").eval().to(memory_format=torch.channels_last)
    images = torch.randn(32, 3, 224, 224).to(memory_format=torch.channels_last)
    with torch.inference_mode():
        for _ in range(4):
            network.forward_features(images)


def train() -> None:
    """Take four steps of 8 images."""
    import torch

    from condense.config.settings import Network
    from condense.diffusion import adm
    from condense.diffusion.transformer import build

    network = build(Network(size="S"), (4, 32, 32), 10, learn_sigma=True)
    optimiser = torch.optim.AdamW(network.parameters(), fused=True)
    clean, noise, labels = torch.randn(8, 4, 32, 32), torch.randn(8, 4, 32, 32), torch.arange(8)
    for step in range(4):
        times = torch.randint(0, adm.TIMES, (8,), generator=torch.Generator().manual_seed(step))
        adm.losses(lambda x, t: network(x, t, labels), clean, times, noise).mean().backward()
        optimiser.step()
        optimiser.zero_grad()


WORKS = {"encoder fit, digits": fit, "embedding, MobileNetV2": embed, "training, DiT-S/2": train}


def measure(work: str, arithmetic: str) -> float:
    """Processor seconds of a work in a process of its own, without imports."""
    words = [sys.executable, __file__, "--work", work, "--arithmetic", arithmetic]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def main() -> None:
    """Measure, or be the process that is measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", choices=WORKS)
    parser.add_argument("--arithmetic", default="pinned")
    given = parser.parse_args()
    if given.work:
        sys.path.insert(0, str(ROOT / "workflow"))
        from condense.base.arithmetic import prepare

        prepare(["--arithmetic", given.arithmetic])
        import torch  # not measured  # noqa: F401

        began = time.process_time()
        WORKS[given.work]()
        print(time.process_time() - began)
        return
    print("| work | native (s) | pinned (s) | pinned / native |\n|---|---:|---:|---:|")
    for work in WORKS:
        rounds = [(measure(work, "native"), measure(work, "pinned")) for _ in range(given.rounds)]
        native, pinned = (statistics.median(column) for column in zip(*rounds, strict=True))
        print(f"| {work} | {native:.2f} | {pinned:.2f} | {pinned / native:.2f} |", flush=True)


if __name__ == "__main__":
    main()
