"""Every metric of one set of generated images, from what a detector saw."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from condense.base.gaussian import Gaussian
from condense.scoring.frechet import fit, frechet_distance
from condense.scoring.inception_score import inception_score
from condense.scoring.kernel_distance import kernel_distance
from condense.scoring.manifold import compare
from condense.scoring.memorisation import Copies

REFERENCE_IMAGES = 10_000  # ADM's evaluator measures precision and recall against so many
NEIGHBOURS, WIDE_NEIGHBOURS = 3, 5  # of precision and recall (ADM), of density and coverage


@dataclass(frozen=True)
class Samples:
    """What a detector saw of generated images: features [n, d]; logits [n, k] and labels [n] where known.

    `columns` [classes] tells which logit is a class's; `spatial` are the statistics of spatial features.
    """

    features: Any
    logits: Any = None
    labels: Any = None
    columns: Any = None
    spatial: Gaussian | None = None


@dataclass(frozen=True)
class Reference:
    """What the same detector saw of real images: statistics of all, features [m, d] of those compared singly.

    `spatial`, `subset` and `copies` where they are known: statistics of spatial features and of the training
    images, and the samples' distances to the latter.
    """

    name: str
    statistics: Gaussian
    features: Any
    spatial: Gaussian | None = None
    subset: Gaussian | None = None
    copies: Copies | None = None


def score_features(samples: Samples, reference: Reference) -> dict[str, Any]:
    """Every metric of samples against a reference, and what it takes to compare it; None where undefined."""
    kernel = kernel_distance(samples.features, reference.features)
    manifold = compare(samples.features, reference.features, NEIGHBOURS, WIDE_NEIGHBOURS)
    inception = None if samples.logits is None else inception_score(samples.logits)
    copies = reference.copies
    return {
        "fid": frechet_distance(fit(samples.features), reference.statistics),
        "sfid": reference.spatial
        and samples.spatial
        and frechet_distance(samples.spatial, reference.spatial),
        "inception_score": inception and inception.mean,
        **asdict(manifold),
        "kid": kernel.mean,
        "agreement": _agreement(samples),
        "copy_rate": copies.rate if copies and copies.judged else None,
        "subset_fid": reference.subset and frechet_distance(reference.subset, reference.statistics),
        "samples": len(samples.features),
        "inception_split": inception and inception.split_size,
        "kid_subset": kernel.subset_size,
        "neighbours": f"{NEIGHBOURS} and {WIDE_NEIGHBOURS}",
        "copies_judged": copies.judged if copies else None,
        "reference": reference.name,
        "manifold_reference": len(reference.features),
    }


def _agreement(samples: Samples) -> float | None:
    """Share of samples whose likeliest class is the one they were drawn for."""
    if samples.logits is None or samples.labels is None or samples.columns is None:
        return None
    predicted = np.asarray(samples.logits)[:, np.asarray(samples.columns)].argmax(1)
    return float((predicted == np.asarray(samples.labels)).mean())


def spread(count: int) -> np.ndarray:
    """Places of at most `REFERENCE_IMAGES` images, spread evenly over `count` in their order."""
    # ASSUME: ADM's reference batch holds 10,000 random images; an even spread serves every class alike
    return np.linspace(0, count - 1, min(count, REFERENCE_IMAGES)).round().astype(int)
