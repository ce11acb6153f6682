"""What is measured of a subset equals the definitions, computed by hand on drawn features."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from commands import call
from condense.base.errors import InputError
from condense.base.shards import write_shard
from condense.config.settings import Gadc
from condense.images.subset import Chosen, write_subset
from condense.reporting.portraits import principal_axes
from condense.scoring.frechet import fit, frechet_distance
from condense.scoring.manifold import compare
from condense.selection.measure import measure, measure_class, moments, overlaps
from condense.selection.search import condense

SETTINGS = Gadc(encoder="e", epsilon=0.05, epsilon_unit="median", beta=1.0, restarts=0)


def draw(n: int = 30, d: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Features [n, d] and -log p [n]."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(n, d, generator=random), torch.rand(n, generator=random).double()


def test_the_objective_is_the_one_that_selection_minimises():
    features, nll = draw()
    end = condense(features[None], nll[None], [5], SETTINGS)[5].end
    found = measure_class(features, nll, end.subsets[0], SETTINGS)
    assert found["objective"] == pytest.approx(end.value.item(), rel=1e-12)
    others = [measure_class(features, nll, torch.arange(i, i + 5), SETTINGS) for i in range(20)]
    assert found["objective"] < min(other["objective"] for other in others)


def test_overlap_is_that_of_the_chosen_images_with_their_class():
    features, nll = draw()
    chosen = torch.tensor([3, 1, 4, 15, 9])
    found = measure_class(features, nll, chosen, SETTINGS)
    overlap = compare(features[chosen], features, 3, 5)
    assert (found["recall"], found["coverage"]) == (overlap.recall, overlap.coverage)
    assert found["precision"] == 1
    assert found["confidence"] == pytest.approx(nll[chosen].mean().item())
    assert "recall" not in measure_class(features, nll, chosen[:1], SETTINGS)


@pytest.fixture
def files(tmp_path):
    """Embeddings and probabilities of two classes in two shards, a subset of them and its diagnostics."""
    rows = []
    for number, name in enumerate("ab"):
        features, nll = draw(seed=number)
        paths = [f"{name}/{i:02}.png" for i in range(30)]
        write_shard(
            tmp_path / f"e{number}.h5", {}, [(name, number, {"features": features.numpy(), "paths": paths})]
        )
        logs = {"log_probability": -nll.numpy(), "log_runner_up": -nll.numpy(), "paths": paths}
        write_shard(tmp_path / f"p{number}.h5", {}, [(name, number, logs)])
        rows += [(paths[i], name, number, i) for i in range(4)]
    table = pd.DataFrame(rows, columns=["path", "class", "class_index", "rank"])
    table.to_csv(tmp_path / "subset.csv", index=False)
    pd.DataFrame({"class": ["a", "b"], "seconds": [1.5, 2.0]}).to_csv(tmp_path / "d.csv", index=False)
    return tmp_path


def ask(folder, *words):
    both = [
        (f"--{kind}", folder / f"{kind[0] if kind != 'features' else 'e'}{i}.h5")
        for kind in ("features", "probabilities")
        for i in (0, 1)
    ]
    call(moments, folder / "e0.h5", folder / "e1.h5", "--output", folder / "m.h5")
    files = [
        "--everything",
        folder / "m.h5",
        "--subset",
        folder / "subset.csv",
        "--diagnostics",
        folder / "d.csv",
    ]
    names = ["--method", "random", "--budget", "4", "--objective", "gadc", "--encoder", "e", "--beta", 1]
    given = [*(word for pair in both for word in pair), *words]
    call(measure, *names, *given, *files, "--output", folder / "row.csv")
    return pd.read_csv(folder / "row.csv").iloc[0]


def test_the_row_of_a_subset(files):
    row = ask(files)
    every = torch.cat([draw(seed=0)[0], draw(seed=1)[0]])
    subset = torch.cat([draw(seed=0)[0][:4], draw(seed=1)[0][:4]])
    assert row["fid"] == pytest.approx(frechet_distance(fit(subset), fit(every)), rel=1e-9)
    assert (row["images"], row["classes"], row["seconds"]) == (8, 2, 3.5)
    nll = [draw(seed=seed)[1][:4].mean().item() for seed in (0, 1)]
    assert row["confidence"] == pytest.approx(np.mean(nll))


def write_made(folder):
    """Five made images of class a with their features and -log p, all files of one shard."""
    features, nll = draw(5, seed=7)
    paths = [f"igd/4/1-of-1/a/{i}.png" for i in range(5)]
    logs = {"log_probability": -nll.numpy(), "log_runner_up": -nll.numpy(), "paths": paths}
    write_shard(folder / "me.h5", {}, [("a", 0, {"features": features.numpy(), "paths": paths})])
    write_shard(folder / "mp.h5", {}, [("a", 0, logs)])
    return features, nll, [Chosen(path, "a", 0, i, made=True) for i, path in enumerate(paths)]


def test_made_images_are_measured_by_their_own_features(files):
    features, nll, made = write_made(files)
    real = [Chosen(f"b/{i:02}.png", "b", 1, i) for i in range(4)]
    write_subset([*made[:3], *real], files / "subset.csv")
    row = ask(files, "--made-features", files / "me.h5", "--made-probabilities", files / "mp.h5")
    (all_a, _), (all_b, nll_b) = draw(seed=0), draw(seed=1)
    subset, every = torch.cat([features[:3], all_b[:4]]), torch.cat([all_a, all_b])
    assert row["fid"] == pytest.approx(frechet_distance(fit(subset), fit(every)), rel=1e-9)
    assert row["images"] == 7
    means = [nll[:3].mean().item(), nll_b[:4].mean().item()]
    assert row["confidence"] == pytest.approx(np.mean(means), rel=1e-12)
    overlaps = [compare(features[:3], all_a, 2, 5), compare(all_b[:4], all_b, 3, 5)]
    for name in ("precision", "recall", "density", "coverage"):
        assert row[name] == pytest.approx(np.mean([getattr(found, name) for found in overlaps]), rel=1e-12)
    assert not {"objective", "transport", "statistics"} & {*row.index}


def test_made_images_beside_real_ones_of_a_class_are_measured_together():
    features, nll = draw()
    added, unlikely = draw(5, seed=7)
    found = measure_class(features, nll, torch.tensor([2, 9]), SETTINGS, (added, unlikely))
    subset = torch.cat([features[[2, 9]], added])
    assert found["precision"] == compare(subset, features, 3, 5).precision < 1
    assert found["confidence"] == pytest.approx(torch.cat([nll[[2, 9]], unlikely]).mean().item())


def test_made_images_without_features_are_named(files):
    *_, made = write_made(files)
    write_subset([*made, Chosen("b/00.png", "b", 1, 0)], files / "subset.csv")
    with pytest.raises(InputError, match=r"made image igd/4/1-of-1/a/0\.png: give .* --made-features"):
        ask(files)
    (files / "row.csv").unlink(missing_ok=True)
    write_subset([made[0]._replace(path="other.png"), Chosen("b/00.png", "b", 1, 0)], files / "subset.csv")
    with pytest.raises(InputError, match=r"names other\.png, which is not embedded"):
        ask(files, "--made-features", files / "me.h5", "--made-probabilities", files / "mp.h5")


def test_a_subset_of_other_images_is_refused(files):
    table = pd.read_csv(files / "subset.csv")
    table.loc[0, "path"] = "a/none.png"
    table.to_csv(files / "subset.csv", index=False)
    with pytest.raises(InputError, match=r"subset\.csv names a/none\.png, which is not embedded"):
        ask(files)
    table.loc[0, ["path", "class"]] = "c/1.png", "c"
    table.to_csv(files / "subset.csv", index=False)
    with pytest.raises(InputError, match="names class c, which is not embedded"):
        ask(files)


def test_the_map_shows_the_axes_of_largest_variance():
    random = np.random.default_rng(0)
    plane = random.normal(size=(50, 2)) * (5, 2)
    turned, _ = np.linalg.qr(random.normal(size=(7, 7)))
    features = plane @ turned[:2] + 3
    found = principal_axes(features)
    distances = [np.linalg.norm(points[:, None] - points, axis=2) for points in (found, plane)]
    assert_close(torch.tensor(distances[0]), torch.tensor(distances[1]))
    assert found[:, 0].std() > found[:, 1].std()
    assert principal_axes(np.ones((1, 4))).tolist() == [[0, 0]]


def test_overlap_of_subsets_is_counted_between_replicates_and_with_the_measuring_method():
    keys = [("gadc", 0), ("gadc", 4), ("random", 0), ("random", 4), ("once", 0)]
    table = pd.DataFrame(keys, columns=["method", "seed"]).assign(budget="10", measured_by="gadc")
    chosen = [frozenset(text) for text in ("abcd", "abxy", "abcz", "mnop", "abmn")]
    found = overlaps(table, chosen)
    assert found["overlap_seeds"] == [0.5, 0.5, 0, 0, None]
    assert found["overlap_measure"] == [None, None, 0.75, 0, 0.5]  # `once` with the mean of both
    other = overlaps(table.assign(budget=["10", "10", "10", "10", "20"]), chosen)
    assert other["overlap_measure"][4] is None
