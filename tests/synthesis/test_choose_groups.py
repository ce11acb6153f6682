"""One group of images is chosen for each class, over all shards together; controls are settings."""

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.base.shards import open_shard
from condense.config.groups import Groups
from condense.encoders.detectors import open_detector
from condense.encoders.embed import embed
from condense.encoders.encoder import encoder as stage_encoder
from condense.images.index import index as stage_index
from condense.images.subset import Chosen, read_subset, write_subset
from condense.selection.embedded import features_of
from condense.synthesis.choose_groups import choose, choose_groups
from condense.synthesis.groups import centroid, objective_of

NAMES = ("n01440764", "n02102040", "n02979186")
REAL, EACH, GROUPS = 12, 3, 4


def picture(path, number: int, seed: int) -> None:
    """A noisy picture whose colour depends on the class, and somewhat on the seed."""
    random = np.random.default_rng(seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = np.array([40 + 70 * number, 120, 200 - 70 * number]) + random.normal(0, 12, 3)
    pixels = (colour + random.normal(0, 25, (16, 16, 3))).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Real images in two shards with their features; of each class four groups, the last of real images."""
    folder = tmp_path_factory.mktemp("groups")
    for number, name in enumerate(NAMES):
        for i in range(REAL):
            picture(folder / "images" / name / f"{i:02}.png", number, 100 * number + i)
    call(stage_index, "--root", folder / "images", "--output", folder / "index.csv")
    table = pd.read_csv(folder / "index.csv")
    table[table["class"] != NAMES[1]].to_csv(folder / "index1.csv", index=False)
    table[table["class"] == NAMES[1]].to_csv(folder / "index2.csv", index=False)
    encoder = ["--kind", "fit", "--epochs", "3", "--side", "16", "--root", folder / "images"]
    call(stage_encoder, folder / "index.csv", *encoder, "--output", folder / "encoder.safetensors")
    for shard in (1, 2):
        given = ["--index", folder / f"index{shard}.csv", "--encoder", folder / "encoder.safetensors"]
        given += ["--state", folder / "state", "--output", folder / f"features{shard}.h5"]
        call(embed, "--root", folder / "images", *given)
    for group in range(GROUPS):
        rows = []
        for number, name in enumerate(NAMES):
            for i in range(EACH):
                path = f"g{group}/{name}/{i}.png"
                if group < GROUPS - 1:
                    picture(folder / "made" / path, number, 1000 * group + 10 * number + i)
                path = path if group < GROUPS - 1 else f"{name}/{i:02}.png"
                rows.append(Chosen(path, name, number, i, made=group < GROUPS - 1))
        write_subset(rows, folder / f"group{group}.csv")
    return folder


def run(study, out, *options, groups: int = GROUPS) -> tuple[dict[str, int], list[pd.DataFrame]]:
    """Group chosen for each class by the stage, and its tables."""
    words = ["--encoder-file", study / "encoder.safetensors", "--made", study / "made"]
    for group in range(groups):
        words += ["--group", study / f"group{group}.csv"]
    for shard in (1, 2):
        words += ["--index", study / f"index{shard}.csv", "--features", study / f"features{shard}.h5"]
        words += ["--output", out / f"{shard}.csv", "--diagnostics", out / f"{shard}.told.csv"]
    call(choose_groups, "--kind", "groups", *words, *options)
    tables = [pd.read_csv(out / f"{shard}.told.csv") for shard in (1, 2)]
    return dict(pd.concat(tables)[["class", "group"]].to_numpy().tolist()), tables


def test_the_images_of_the_chosen_groups_are_the_subset(study, tmp_path):
    picked, tables = run(study, tmp_path)
    rows = read_subset(tmp_path / "1.csv") + read_subset(tmp_path / "2.csv")
    assert {row.cls for row in read_subset(tmp_path / "2.csv")} == {NAMES[1]}
    expected = [
        row
        for group in range(GROUPS)
        for row in read_subset(study / f"group{group}.csv")
        if picked[row.cls] == group
    ]
    assert sorted(rows) == sorted(expected) and len(rows) == 3 * EACH
    assert tables[0]["images"].tolist() == [REAL] * 2 and tables[0]["chosen"].tolist() == [EACH] * 2
    assert (tables[0]["distance"] > 0).all()


def test_the_choice_is_that_of_the_features(study, tmp_path):
    everything = ["--real", "100"]
    picked, _ = run(study, tmp_path, *everything, groups=3)
    exact, _ = run(study, tmp_path, *everything, "--search", "exact", groups=3)
    closest, _ = run(study, tmp_path, *everything, "--choice", "closest", groups=3)
    detector, centroids, real = open_detector(study / "encoder.safetensors"), [], []
    for name in NAMES:
        with open_shard(study / f"features{1 + (name == NAMES[1])}.h5") as shard:
            real.append(centroid(shard[name]["features"][()]))
            nothing = torch.zeros(0, shard[name]["features"].shape[1])
        found = []
        for group in range(3):
            own = [row for row in read_subset(study / f"group{group}.csv") if row.cls == name]
            values = features_of(own, [], nothing, detector, study / "made", study)
            found.append(centroid(values.numpy()))
        centroids.append(np.stack(found))
    centroids, real = np.stack(centroids), np.stack(real)
    nearest = (centroids * real[:, None]).sum(2).argmax(1)
    assert [closest[name] for name in NAMES] == nearest.tolist()
    objective = objective_of(centroids, real, NAMES)
    best = objective.value(np.array([exact[name] for name in NAMES]))
    every = np.indices((3, 3, 3)).reshape(3, -1).T
    assert best == pytest.approx(max(map(objective.value, every)), rel=1e-9)
    assert objective.value(np.array([picked[name] for name in NAMES])) <= best + 1e-9


def test_a_random_group_is_a_draw_of_seed_and_class_alone(study, tmp_path):
    centroids = np.ones((40, 5, 2)) / 2**0.5
    names = [str(i) for i in range(40)]
    draws = [
        choose(centroids, centroids[:, 0], names, Groups(kind="groups", choice="random", seed=seed))
        for seed in (0, 0, 1)
    ]
    assert draws[0].tolist() == draws[1].tolist() != draws[2].tolist()
    assert set(draws[0].tolist()) == set(range(5))
    fewer = choose(centroids[7:9], centroids[7:9, 0], names[7:9], Groups(kind="groups", choice="random"))
    assert fewer.tolist() == draws[0][7:9].tolist()
    picked, _ = run(study, tmp_path, "--choice", "random")
    assert set(picked.values()) <= set(range(GROUPS))


def test_what_cannot_be_compared_is_one_sentence(study, tmp_path):
    rows = [row for row in read_subset(study / "group0.csv") if row.cls != NAMES[2]]
    write_subset(rows, tmp_path / "short.csv")
    with pytest.raises(InputError, match=r"short\.csv has no image of class 'n02979186'"):
        run(study, tmp_path, "--group", tmp_path / "short.csv")
    with pytest.raises(InputError, match="one --output and one --diagnostics for each --index"):
        run(study, tmp_path, "--output", tmp_path / "third.csv")
