"""Command cluster: classes for images that have none, found by k-means on their features."""

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from condense.base.errors import InputError
from condense.base.progress import say
from condense.config.options import take
from condense.config.settings import Images
from condense.images.index import is_below
from condense.images.sources import Source, source
from condense.images.subset import MADE, Chosen
from condense.selection.candidates import open_features
from condense.selection.export import names_for_torchvision, new_folder, place_images
from condense.selection.image_class import ImageClass

STARTS = 10  # of k-means, of which the best counts


@take(images=Images)
def cluster(
    features: Annotated[
        list[Path], typer.Argument(help="Embeddings of all images, a file per shard (HDF5).")
    ],
    count: Annotated[int, typer.Option(help="Classes to find.", min=2)],
    output: Annotated[Path, typer.Option(help="Folder to make, with a folder for each class.")],
    images: Images,
    link: Annotated[bool, typer.Option(help="Relative links instead of copies.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the starts of k-means.", min=0)] = 0,
) -> None:
    """Deal images into folders by k-means on their features: the classes of a study of its own.

    The largest class comes first. Where the images have classes already, the adjusted Rand index tells how
    far these agree with the ones found: 1 for the same, about 0 for chance.
    """
    opened = source(images)
    with ExitStack() as stack:
        known = []
        for path in features:
            classes = stack.enter_context(open_features(path))
            _check_paths(classes, opened, path)
            known += classes
        labels = _labels(known, count, seed)
    paths = [path for each in known for path in each.paths]
    width = len(str(count - 1))
    rows = [
        Chosen(path, f"cluster-{label:0{width}}", label, 0) for path, label in zip(paths, labels, strict=True)
    ]
    with new_folder(output) as folder:
        place_images(rows, names_for_torchvision(rows, link), folder, opened, MADE, link)
    sizes = Counter(labels).values()
    say(f"{len(rows)} images in {count} classes of {min(sizes)} to {max(sizes)} -> {output}")
    if len(known) > 1:
        from sklearn.metrics import adjusted_rand_score

        own = np.repeat(np.arange(len(known)), [len(each.paths) for each in known])
        say(f"adjusted Rand index with the classes that they had: {adjusted_rand_score(own, labels):.3f}")


def _check_paths(classes: list[ImageClass], images: Source, origin: Path) -> None:
    """Refuse features of what is no image of the source: their paths are opened."""
    for each in classes:
        for path in each.paths:
            if not (is_below(path) and images.holds(path, each.name)):
                raise InputError(
                    f"{origin} names {path!r}, which is no image of class {each.name!r} there: give the root "
                    "of these images, with --unlabelled if the features were made so."
                )


def _labels(known: list[ImageClass], count: int, seed: int) -> list[int]:
    """Cluster of each image, numbered by falling size."""
    from sklearn.cluster import KMeans

    values = np.concatenate([each.features() for each in known])
    if len(np.unique(values, axis=0)) < count:
        raise InputError(
            f"{len(values)} images have too few different features for {count} classes; ask for fewer."
        )
    found = KMeans(count, n_init=STARTS, random_state=seed).fit_predict(values)
    order = np.argsort(-np.bincount(found), kind="stable")
    return np.argsort(order)[found].tolist()
