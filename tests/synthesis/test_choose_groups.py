"""One group of images is chosen for each class, over all shards together; controls are settings."""

import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.base.shards import open_shard, write_shard
from condense.base.tables import write_rows
from condense.config.groups import Groups
from condense.encoders.detectors import open_detector
from condense.encoders.embed import embed
from condense.encoders.encoder import encoder as stage_encoder
from condense.images.index import HEADER, Row
from condense.images.index import index as stage_index
from condense.images.subset import Chosen, read_subset, write_subset
from condense.selection.embedded import features_of
from condense.synthesis.choose_groups import choose, choose_groups
from condense.synthesis.groups import ascend, centroid, objective_of
from sources import ROOT

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


def words_of(study, out, groups: int = GROUPS, sets=None) -> list:
    """Words of the command, for groups in the folder `sets`."""
    words = ["--kind", "groups", "--encoder-file", study / "encoder.safetensors", "--made", study / "made"]
    for group in range(groups):
        words += ["--group", (sets or study) / f"group{group}.csv"]
    for shard in (1, 2):
        words += ["--index", study / f"index{shard}.csv", "--features", study / f"features{shard}.h5"]
        words += ["--output", out / f"{shard}.csv", "--diagnostics", out / f"{shard}.told.csv"]
    return words


def run(study, out, *options, groups: int = GROUPS) -> tuple[dict[str, int], list[pd.DataFrame]]:
    """Group chosen for each class by the stage, and its tables."""
    call(choose_groups, *words_of(study, out, groups), *options)
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


def write_drawn(study, folder, shards: dict[int, list[int]], features: np.ndarray) -> None:
    """A study of features [classes, 2 * GROUPS, d] by shards of classes; each two are a group."""
    (folder / "encoder.safetensors").symlink_to(study / "encoder.safetensors")
    digest = open_detector(study / "encoder.safetensors").digest
    paths = [[f"{cls}/{i:02}.png" for i in range(2 * GROUPS)] for cls in range(len(features))]
    for shard, classes in shards.items():
        held = [(str(cls), cls, {"features": features[cls], "paths": paths[cls]}) for cls in classes]
        write_shard(folder / f"features{shard}.h5", {"encoder": "drawn", "digest": digest}, held)
        rows = [Row(path, str(cls), cls, 1) for cls in classes for path in paths[cls]]
        write_rows(folder / f"index{shard}.csv", HEADER, rows)
    for group in range(GROUPS):
        pairs = ((cls, i) for cls in range(len(features)) for i in range(2))
        rows = [Chosen(paths[cls][2 * group + i], str(cls), cls, i) for cls, i in pairs]
        write_subset(rows, folder / f"group{group}.csv")


def test_shards_of_classes_change_no_choice(study, tmp_path):
    """The ascent looks at the classes in one order; here, without closeness, its end depends on that."""
    features = np.random.default_rng(0).normal(1, 1, (9, 2 * GROUPS, 6)).astype(np.float32)
    found = []
    for number, shards in enumerate(([[*range(9)], []], [[5, 8, 6, 7], [1, 0, 2, 3, 4]])):
        folder = tmp_path / str(number)
        folder.mkdir()
        write_drawn(study, folder, dict(enumerate(shards, 1)), features)
        options = ["--closeness", "0", "--start", "random"]
        found.append([run(folder, folder, *options, "--seed", seed)[0] for seed in range(8)])
    assert found[0] == found[1]


def test_the_ascent_starts_where_it_is_told():
    random = np.random.default_rng(4)
    centroids = random.normal(1, 1, (8, 5, 6))
    centroids /= np.linalg.norm(centroids, axis=2, keepdims=True)
    real, names = centroids.sum(1), [*"abcdefgh"]
    real /= np.linalg.norm(real, axis=1, keepdims=True)
    closest = choose(centroids, real, names, Groups(kind="groups", choice="closest"))
    drawn = choose(centroids, real, names, Groups(kind="groups", choice="random"))
    objective, ends = objective_of(centroids, real, names, separation=3.0), []
    for start, groups in (("closest", closest), ("random", drawn)):
        found = choose(centroids, real, names, Groups(kind="groups", start=start, separation=3.0))
        assert found.tolist() == ascend(objective, groups)[0].tolist()
        ends.append(found.tolist())
    assert ends[0] != ends[1]  # two optima of single changes


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


AFTER_A_SUBSET = """
import os, signal, sys
from condense import __main__
from condense.synthesis import choose_groups
choose_groups.write_rows = lambda *given: os.kill(os.getpid(), signal.SIGKILL)
__main__.main()"""


def test_a_killed_choice_is_made_again_to_the_same_bytes(study, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    run(study, whole)
    command = [sys.executable, "-c", AFTER_A_SUBSET, "choose-groups", *map(str, words_of(study, killed))]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [path.name for path in killed.iterdir()] == ["1.csv"]
    run(study, killed)
    for name in ("1.csv", "2.csv"):
        assert (killed / name).read_bytes() == (whole / name).read_bytes()


def drawn(study, folder, spoil) -> None:
    """Choose among groups of features that are spoilt first: two classes in two shards."""
    features = np.random.default_rng(0).normal(1, 1, (2, 2 * GROUPS, 6)).astype(np.float32)
    spoil(features)
    write_drawn(study, folder, {1: [0], 2: [1]}, features)
    run(folder, folder)


@pytest.mark.parametrize(("value", "group"), [(np.nan, 0), (np.inf, 2), (0, 3)])
def test_a_feature_without_a_direction_is_told_with_its_class_and_file(study, tmp_path, value, group):
    def spoil(features):
        features[1, 2 * group + 1] = value

    sentence = rf"A feature of class '1' in .*group{group}\.csv is zero or not finite"
    with pytest.raises(InputError, match=sentence):
        drawn(study, tmp_path, spoil)
    assert not (tmp_path / "1.csv").exists()


def test_a_class_of_which_a_group_is_all_is_one_sentence_unless_there_is_an_offset(study, tmp_path):
    """A class with fewer images than a group has: each group is the whole class."""
    for group in range(GROUPS):
        rows = [Chosen(f"{NAMES[0]}/{i:02}.png", NAMES[0], 0, i) for i in range(REAL)]
        rows += [row for row in read_subset(study / f"group{group}.csv") if row.cls != NAMES[0]]
        write_subset(rows, tmp_path / f"group{group}.csv")
    words = words_of(study, tmp_path, sets=tmp_path)
    with pytest.raises(InputError, match=f"a group of class '{NAMES[0]}' has its real images' mean feature"):
        call(choose_groups, *words)
    call(choose_groups, *words, "--offset", "0.01")
    told = pd.read_csv(tmp_path / "1.told.csv").set_index("class")
    assert told.loc[NAMES[0], "chosen"] == REAL and abs(told.loc[NAMES[0], "distance"]) < 1e-6


def test_what_is_missing_is_one_sentence(study, tmp_path):
    for name, sentence in (
        ("--encoder-file", r"absent\.\w+"),
        ("--group", r"absent\.\w+"),
        ("--features", r"absent\.\w+"),
    ):
        absent = tmp_path / ("absent.safetensors" if name == "--encoder-file" else "absent.csv")
        with pytest.raises(InputError, match=sentence):
            run(study, tmp_path, name, absent)
    with pytest.raises(InputError, match="which is no made image below"):
        run(study, tmp_path, "--made", tmp_path)


def test_what_cannot_be_compared_is_one_sentence(study, tmp_path):
    rows = [row for row in read_subset(study / "group0.csv") if row.cls != NAMES[2]]
    write_subset(rows, tmp_path / "short.csv")
    with pytest.raises(InputError, match=r"short\.csv has no image of class 'n02979186'"):
        run(study, tmp_path, "--group", tmp_path / "short.csv")
    with pytest.raises(InputError, match="one --output and one --diagnostics for each --index"):
        run(study, tmp_path, "--output", tmp_path / "third.csv")
