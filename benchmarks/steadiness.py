"""Is a choice steadier in the features of several fits side by side? Overlap of gadc's subsets of the digits.

    python benchmarks/steadiness.py [--fits 1 3] [--replicates 4] [--lists FOLDER]

Each replicate fits encoders of its own, so many as `--fits` says, and chooses ten digits of each kind in
their features side by side, with the mean of their log-probabilities. Printed: the share of images that two
replicates have in common, against two uniform draws. `--lists` writes the subsets as lists,
fits-replicate.txt, which a study takes as methods of the kind `list` to train on them.
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow"))

from condense.base.arithmetic import prepare  # noqa: E402

prepare([])

import numpy as np  # noqa: E402
import torch  # noqa: E402
from torch import Tensor  # noqa: E402

from condense.config.settings import Encoder, Gadc, Images  # noqa: E402
from condense.encoders.fitted import fit  # noqa: E402
from condense.images.lists import write_list  # noqa: E402
from condense.images.preprocess import Preprocess  # noqa: E402
from condense.images.sources import source  # noqa: E402
from condense.selection.search import condense  # noqa: E402

SETTINGS = Gadc(encoder="fits", epsilon=0.05, epsilon_unit="median", alpha=6, beta=1)  # as in examples/seeds
BUDGET = 10


def load() -> tuple[list[str], np.ndarray, np.ndarray]:
    """Path, pixels [n, 8, 8, 3] and label [n] of every digit."""
    opened = source(Images(source="digits"))
    found = [(path, label) for label, name in enumerate(opened.classes()) for path, _ in opened.images(name)]
    pixels = np.stack([np.asarray(opened.open(path)) for path, _ in found])
    return [path for path, _ in found], pixels, np.array([label for _, label in found])


@torch.no_grad()
def encode(pixels: np.ndarray, labels: np.ndarray, seed: int) -> tuple[Tensor, Tensor]:
    """Features [n, d] and log-probabilities [n, classes] of one fit."""
    with torch.enable_grad():
        network, head = fit(pixels, labels, Encoder(kind="fit", seed=seed))
    features = network(Preprocess(side=8, resize=8).normalise(torch.from_numpy(pixels)))
    return features, head(features).log_softmax(1)


def choose(fits: Sequence[tuple[Tensor, Tensor]], labels: np.ndarray) -> set[int]:
    """Images that gadc chooses in the features of some fits side by side."""
    features = torch.cat([features for features, _ in fits], dim=1)
    nll = -torch.stack([log for _, log in fits]).double().mean(0)
    chosen: set[int] = set()
    for label in np.unique(labels):
        own = np.flatnonzero(labels == label)
        found = condense(features[own][None], nll[own, label][None], [BUDGET], SETTINGS)
        chosen |= {*own[found[BUDGET].end.subsets[0].numpy()].tolist()}
    return chosen


def main() -> None:
    """Fit, choose, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fits", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--replicates", type=int, default=4)
    parser.add_argument("--lists", type=Path)
    given = parser.parse_args()
    paths, pixels, labels = load()
    # seeds from 1000 on: 0 and 1 are those of the encoder and the judge of examples/seeds
    encoded = [
        [encode(pixels, labels, 1000 * (replicate + 1) + number) for number in range(max(given.fits))]
        for replicate in range(given.replicates)
    ]
    print("| fits side by side | images in common | least | most | by chance |\n|---:|---:|---:|---:|---:|")
    for count in given.fits:
        subsets = [choose(fits[:count], labels) for fits in encoded]
        shares = [len(one & other) / len(one) for one, other in combinations(subsets, 2)]
        chance = BUDGET * len(np.unique(labels)) / len(labels)
        print(
            f"| {count} | {np.mean(shares):.3f} | {min(shares):.2f} | {max(shares):.2f} | {chance:.3f} |",
            flush=True,
        )
        for number, chosen in enumerate(subsets if given.lists else []):
            given.lists.mkdir(parents=True, exist_ok=True)
            write_list([paths[at] for at in sorted(chosen)], given.lists / f"{count}-{number}.txt")


if __name__ == "__main__":
    main()
