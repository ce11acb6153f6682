"""Every metric of one set of generated images, from what a detector saw."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from condense.base.gaussian import Gaussian
from condense.config.metrics import SCORED
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


def frechet(samples: Samples, reference: Reference) -> dict[str, Any]:
    """Fréchet distances: of the samples, of their spatial features, of the training images."""
    spatial = samples.spatial and reference.spatial and (samples.spatial, reference.spatial)
    return {
        "fid": frechet_distance(fit(samples.features), reference.statistics),
        "sfid": spatial and frechet_distance(*spatial),
        "subset_fid": reference.subset and frechet_distance(reference.subset, reference.statistics),
    }


def inception(samples: Samples, reference: Reference) -> dict[str, Any]:
    """Inception score, where there are logits."""
    found = None if samples.logits is None else inception_score(samples.logits)
    return {"inception_score": found and found.mean, "inception_split": found and found.split_size}


def manifold(samples: Samples, reference: Reference) -> dict[str, Any]:
    """Precision, recall, density and coverage."""
    found = compare(samples.features, reference.features, NEIGHBOURS, WIDE_NEIGHBOURS)
    return asdict(found) | {"neighbours": f"{NEIGHBOURS} and {WIDE_NEIGHBOURS}"}


def kernel(samples: Samples, reference: Reference) -> dict[str, Any]:
    """Kernel distance."""
    found = kernel_distance(samples.features, reference.features)
    return {"kid": found.mean, "kid_subset": found.subset_size}


def agreement(samples: Samples, reference: Reference) -> dict[str, Any]:
    """Share of samples whose likeliest class is the one they were drawn for."""
    if samples.logits is None or samples.labels is None or samples.columns is None:
        return {"agreement": None}
    predicted = np.asarray(samples.logits)[:, np.asarray(samples.columns)].argmax(1)
    return {"agreement": float((predicted == np.asarray(samples.labels)).mean())}


def memorisation(samples: Samples, reference: Reference) -> dict[str, Any]:
    """How often a sample's nearest training image is nearer than the nearest held-out one."""
    copies = reference.copies
    rate = copies.rate if copies and copies.judged else None
    return {"copy_rate": rate, "copies_judged": copies and copies.judged}


# Each gives its metrics, by their names in `config.metrics`, and what it takes to compare them (CONTEXT);
# None for what is not defined of these samples.
METRICS = (frechet, inception, manifold, kernel, agreement, memorisation)
CONTEXT = ("inception_split", "kid_subset", "neighbours", "copies_judged")


def score_features(samples: Samples, reference: Reference) -> dict[str, Any]:
    """Every metric of samples against a reference, and what it takes to compare it; None where undefined."""
    found: dict[str, Any] = {}
    for metric in METRICS:
        found |= metric(samples, reference)
    row = {name: found[name] for name in (*SCORED, *CONTEXT)}
    row |= {"samples": len(samples.features), "reference": reference.name}
    return row | {"manifold_reference": len(reference.features)}


def spread(count: int) -> np.ndarray:
    """Places of at most `REFERENCE_IMAGES` images, spread evenly over `count` in their order."""
    # ASSUME: ADM's reference batch holds 10,000 random images; an even spread serves every class alike
    return np.linspace(0, count - 1, min(count, REFERENCE_IMAGES)).round().astype(int)
