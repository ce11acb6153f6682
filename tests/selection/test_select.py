"""The select command: own files and shards, what does not change a subset, and bad input."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from condense.__main__ import main
from condense.base.errors import InputError
from condense.base.shards import write_shard
from condense.config.settings import Gadc
from condense.selection import gadc, select
from condense.selection.candidates import ImageClass
from condense.transport import partial

CLASSES = {"ant": 14, "bee": 20, "cat": 14}


def run(**options) -> None:
    """Run the command with these options; the others are left at their defaults."""
    from inspect import signature

    defaults = {
        name: None if p.default is p.empty else p.default
        for name, p in signature(select.select).parameters.items()
    }
    listed = {"budget", "output", "budget_name"}
    options = {k: [v] if k in listed and not isinstance(v, list) else v for k, v in options.items()}
    select.select(**defaults | options)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def subset(path: Path) -> list[tuple[str, str]]:
    return [(row["class"], row["path"]) for row in rows(path)]


def arrays(seed: int = 0) -> dict[str, np.ndarray]:
    """Features, labels, paths and probabilities of three small classes, in no order."""
    draws = np.random.default_rng(seed)
    labels = draws.permutation(np.repeat(list(CLASSES), list(CLASSES.values())))
    paths = np.array([f"{label}/{i:03d}.png" for i, label in enumerate(labels)])
    features = draws.normal(size=(len(labels), 6)).astype(np.float32)
    return {
        "features": features,
        "labels": labels,
        "paths": paths,
        "probabilities": draws.random(len(labels)),
    }


def save(path: Path, found: dict[str, np.ndarray]) -> Path:
    """Write a flat npz or HDF5 file."""
    if path.suffix == ".npz":
        np.savez(path, **found)
    else:
        with h5py.File(path, "w") as file:
            for name, values in found.items():
                text = values.dtype.kind == "U"
                file.create_dataset(name, data=values.tolist() if text else values)
    return path


def save_shards(folder: Path, found: dict[str, np.ndarray], names: list[str]) -> tuple[Path, Path]:
    """Write the pipeline's shards of some of the classes, in this order."""
    groups, known = [], []
    for name in names:
        own = found["labels"] == name
        paths, index = found["paths"][own].tolist(), list(CLASSES).index(name)
        logs = np.log(found["probabilities"][own]).astype(np.float32)
        groups.append((name, index, {"features": found["features"][own], "paths": paths}))
        known.append((name, index, {"log_probability": logs, "log_runner_up": logs - 1, "paths": paths}))
    about = {"encoder": "small", "digest": "0"}
    embeddings, probabilities = folder / f"{names[0]}.h5", folder / f"{names[0]}-p.h5"
    write_shard(embeddings, about, groups)
    write_shard(probabilities, about, known)
    return embeddings, probabilities


def test_own_file_needs_features_and_labels_alone(tmp_path, capfd) -> None:
    found = arrays()
    del found["paths"], found["probabilities"]
    run(features=save(tmp_path / "mine.npz", found), budget=3, output=tmp_path / "s.csv")
    chosen = rows(tmp_path / "s.csv")
    assert list(chosen[0]) == ["path", "class", "class_index", "rank"]
    assert [row["class"] for row in chosen] == ["ant"] * 3 + ["bee"] * 3 + ["cat"] * 3
    assert [row["rank"] for row in chosen] == ["0", "1", "2"] * 3
    assert all(found["labels"][int(row["path"])] == row["class"] for row in chosen)
    assert "confidence term is left out" in capfd.readouterr().err


def test_documented_example_runs(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[2] / "docs/selection.md"
    names: dict = {}
    for language, code in re.findall(r"```(\w*)\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
        if language == "python":
            exec(code, names)
        else:
            words = code.replace("\\\n", " ").split()
            assert words[:3] == ["python", "-m", "condense"]
            monkeypatch.setattr(sys, "argv", ["condense", *words[3:]])
            with pytest.raises(SystemExit) as end:
                main()
            assert not end.value.code
    assert len(rows(tmp_path / "subset.csv")) == 100
    assert names["chosen"][10].end.optimal.item()


def test_runs_as_a_command_without_a_config_file(tmp_path) -> None:
    save(tmp_path / "mine.h5", arrays())
    words = "--threads 1 select --features mine.h5 --budget 2 --output subset.csv --epsilon-unit median"
    done = subprocess.run(
        [sys.executable, "-m", "condense", *words.split()],
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(select.__file__).parents[2]), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(rows(tmp_path / "subset.csv")) == 6


@pytest.mark.parametrize("method", ["gadc", "random", "k-center", "herding"])
def test_subset_does_not_depend_on_the_form_or_order_of_the_files(tmp_path, method) -> None:
    found = arrays()
    order = np.random.default_rng(1).permutation(len(found["labels"]))
    shuffled = {name: values[order] for name, values in found.items()}
    embeddings, probabilities = save_shards(tmp_path, found, ["cat", "ant", "bee"])
    sources = {
        "flat": {"features": save(tmp_path / "a.h5", found)},
        "npz": {"features": save(tmp_path / "b.npz", found)},
        "shuffled": {"features": save(tmp_path / "c.h5", shuffled)},
        "shard": {"features": embeddings, "probabilities": probabilities},
    }
    for name, source in sources.items():
        run(**source, budget=4, output=tmp_path / f"{name}.csv", kind=method)
    first = subset(tmp_path / "flat.csv")
    assert len(first) == 12
    assert all(subset(tmp_path / f"{name}.csv") == first for name in sources)


def test_subset_does_not_depend_on_the_number_of_shards(tmp_path) -> None:
    found = arrays()
    whole, whole_p = save_shards(tmp_path, found, ["ant", "bee", "cat"])
    run(features=whole, probabilities=whole_p, budget=3, output=tmp_path / "whole.csv")
    parts = []
    for names in (["bee"], ["cat", "ant"]):
        part, part_p = save_shards(tmp_path, found, names)
        run(features=part, probabilities=part_p, budget=3, output=tmp_path / "part.csv")
        parts += subset(tmp_path / "part.csv")
    assert sorted(parts) == sorted(subset(tmp_path / "whole.csv"))


def test_classes_of_equal_size_may_be_solved_together(tmp_path, monkeypatch) -> None:
    source = save(tmp_path / "mine.h5", arrays())
    run(features=source, budget=4, output=tmp_path / "alone.csv")
    monkeypatch.setitem(select.CLASSES_AT_ONCE, "cpu", 8)
    run(features=source, budget=4, output=tmp_path / "together.csv")
    assert subset(tmp_path / "alone.csv") == subset(tmp_path / "together.csv")


def test_several_budgets_are_several_runs(tmp_path) -> None:
    source = save(tmp_path / "mine.h5", arrays())
    both = [tmp_path / "3.csv", tmp_path / "5.csv"]
    run(
        features=source,
        budget=[3, 5],
        output=both,
        diagnostics=tmp_path / "d.csv",
        budget_name=["few", "more"],
    )
    for budget, path in zip((3, 5), both, strict=True):
        run(features=source, budget=budget, output=tmp_path / "one.csv")
        assert subset(path) == subset(tmp_path / "one.csv")
    told = rows(tmp_path / "d.csv")
    assert [(row["class"], row["budget"]) for row in told] == [
        (c, b) for c in CLASSES for b in ("few", "more")
    ]


def test_diagnostics_explain_each_class(tmp_path) -> None:
    source = save(tmp_path / "mine.h5", arrays())
    options = {"beta": "2", "epsilon": "0.1", "epsilon_unit": "median", "iterations": "300"}
    run(
        features=source,
        budget=4,
        output=tmp_path / "s.csv",
        diagnostics=tmp_path / "d.csv",
        name="ours",
        **options,
    )
    for row, (name, images) in zip(rows(tmp_path / "d.csv"), CLASSES.items(), strict=True):
        assert (row["method"], row["budget"], row["class"]) == ("ours", "4", name)
        assert (row["images"], row["chosen"], row["one_swap_optimal"]) == (str(images), "4", "True")
        parts = [float(row[key]) for key in ("transport", "statistics", "confidence")]
        assert float(row["objective"]) == pytest.approx(parts[0] + 6 * parts[1] + 2 * parts[2])
        assert float(row["objective"]) <= float(row["greedy_objective"])
        assert float(row["transported_mass"]) == pytest.approx(1, abs=1e-3)
        assert float(row["scale"]) == pytest.approx(10)


def test_random_subsets_are_nested_and_differ_by_seed_and_class(tmp_path) -> None:
    source = save(tmp_path / "mine.h5", arrays())
    options = {"features": source, "kind": "random"}
    run(**options, budget=[3, 6], output=[tmp_path / "3.csv", tmp_path / "6.csv"])
    run(**options, budget=3, output=tmp_path / "other.csv", seed="1")
    ranked = [row["path"] for row in rows(tmp_path / "6.csv") if int(row["rank"]) < 3]
    assert ranked == [row["path"] for row in rows(tmp_path / "3.csv")]
    assert subset(tmp_path / "3.csv") != subset(tmp_path / "other.csv")
    places = {
        c: [r["path"][-7:] for r in rows(tmp_path / "6.csv") if r["class"] == c] for c in ("ant", "cat")
    }
    assert places["ant"] != places["cat"]  # classes of equal size do not get the same permutation


def test_methods_without_features_take_an_index(tmp_path) -> None:
    index = tmp_path / "index.csv"
    index.write_text("path,class,class_index,bytes\nb/2.png,b,1,9\na/1.png,a,0,9\nb/1.png,b,1,9\n")
    run(index=index, output=tmp_path / "full.csv", kind="full", budget_name="all")
    assert subset(tmp_path / "full.csv") == [("a", "a/1.png"), ("b", "b/1.png"), ("b", "b/2.png")]
    run(index=index, output=tmp_path / "none.csv", kind="none", diagnostics=tmp_path / "d.csv")
    assert (tmp_path / "none.csv").read_text() == "path,class,class_index,rank\n"
    assert [row["chosen"] for row in rows(tmp_path / "d.csv")] == ["0", "0"]
    run(index=index, budget=1, output=tmp_path / "random.csv", kind="random")
    assert len(subset(tmp_path / "random.csv")) == 2
    with pytest.raises(InputError, match="gadc compares features"):
        run(index=index, budget=1, output=tmp_path / "no.csv")


def test_shard_without_classes_gives_an_empty_table(tmp_path) -> None:
    write_shard(tmp_path / "e.h5", {"encoder": "small", "digest": "0"}, [])
    run(features=tmp_path / "e.h5", budget=3, output=tmp_path / "s.csv", diagnostics=tmp_path / "d.csv")
    assert rows(tmp_path / "s.csv") == [] and rows(tmp_path / "d.csv") == []


def test_probabilities_may_have_a_column_per_label(tmp_path) -> None:
    found = arrays()
    own = found["probabilities"]
    table = np.zeros((len(own), 3))
    table[np.arange(len(own)), [list(CLASSES).index(label) for label in found["labels"]]] = own
    options = {"budget": 3, "beta": "5"}
    run(features=save(tmp_path / "a.npz", found), output=tmp_path / "a.csv", **options)
    run(
        features=save(tmp_path / "b.npz", found | {"probabilities": table}),
        output=tmp_path / "b.csv",
        **options,
    )
    assert subset(tmp_path / "a.csv") == subset(tmp_path / "b.csv")


def test_impossible_probability_of_zero_is_kept_finite(tmp_path) -> None:
    found = arrays()
    found["probabilities"][found["labels"] == "ant"] = 0
    run(
        features=save(tmp_path / "a.npz", found),
        budget=2,
        output=tmp_path / "a.csv",
        diagnostics=tmp_path / "d.csv",
    )
    assert all(np.isfinite(float(row["objective"])) for row in rows(tmp_path / "d.csv"))


def test_questionable_scales_are_said_in_one_line(tmp_path, capfd) -> None:
    source = save(tmp_path / "mine.h5", arrays())
    run(features=source, budget=2, output=tmp_path / "s.csv", epsilon="5", epsilon_unit="median")
    told = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert len(told) == 1 and "0.2 to 0.2 times epsilon in 3 of 3" in told[0]
    run(features=source, budget=2, output=tmp_path / "s.csv", epsilon="0.002", epsilon_unit="median")
    told = [line for line in capfd.readouterr().err.splitlines() if "warning" in line]
    assert len(told) == 2 and "of its mass" in told[0] and "500" in told[1]
    run(features=source, budget=2, output=tmp_path / "s.csv", epsilon="0.1", epsilon_unit="median")
    assert "warning" not in capfd.readouterr().err


def test_a_class_whose_costs_do_not_fit_into_memory_is_a_sentence(tmp_path, monkeypatch) -> None:
    source = save(tmp_path / "mine.h5", arrays())
    monkeypatch.setattr(gadc, "_memory", lambda device: 2**10)
    with pytest.raises(InputError, match=r"has 14 images, whose costs to each .* set columns to 1024"):
        run(features=source, budget=2, output=tmp_path / "s.csv")
    run(features=source, budget=2, output=tmp_path / "s.csv", columns=8)


def test_a_tolerance_that_is_not_reached_is_said(tmp_path, monkeypatch, capfd) -> None:
    source = save(tmp_path / "mine.h5", arrays())
    given = {"features": source, "budget": 2, "output": tmp_path / "s.csv", "epsilon_unit": "median"}
    run(**given, epsilon="0.1", tolerance=1e-6)
    assert "tolerance" not in capfd.readouterr().err
    monkeypatch.setattr(partial, "MOST_ITERATIONS", 3)
    run(**given, epsilon="0.01", tolerance=1e-6)
    assert "in 3 of 3 subsets Sinkhorn was not within the tolerance of 1e-06" in capfd.readouterr().err


def change(**values) -> dict:
    return arrays() | values


FINE = arrays()
BAD = FINE["features"].copy()
BAD[5, 2] = np.inf


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (change(features=BAD), f"features of {FINE['paths'][5]} .*not finite"),
        (change(labels=FINE["labels"][:-1]), "47 labels for 48 features"),
        (change(paths=FINE["paths"][:-2]), "46 paths for 48 features"),
        (change(paths=np.repeat("x.png", 48)), "names two images alike"),
        (change(probabilities=FINE["probabilities"] + 1), r"outside \[0, 1\]"),
        (change(probabilities=-FINE["probabilities"]), r"outside \[0, 1\]"),
        (change(probabilities=np.full(48, np.nan)), r"outside \[0, 1\]"),
        (change(probabilities=np.ones((48, 4)) / 4), r"shape \(48, 4\) for 3 labels"),
        (change(probabilities=np.repeat("much", 48)), "probabilities of type <U4; give real numbers"),
        (change(probabilities=np.array(0.5)), "0 probabilities for 48 features"),
        (change(features=FINE["features"].astype(object)), "features cannot be read .* no Python objects"),
        (change(features=FINE["features"].astype(str)), "features of type <U.*; give real numbers"),
        (change(features=FINE["features"].astype(complex)), "features of type complex128; give real"),
        (change(features=FINE["features"][:, :0]), r"features of shape \(48, 0\); they must be \[N, d\]"),
        (change(features=FINE["features"][:0]), r"features of shape \(0, 6\); they must be \[N, d\]"),
        (change(features=FINE["features"][:, 0]), r"features of shape \(48,\); they must be \[N, d\]"),
        (change(labels=np.eye(3)[[0, 1, 2] * 16]), r"labels of shape \(48, 3\); give \[N\]: of a table"),
        (change(labels=np.array(["ant", None] * 24, dtype=object)), "labels cannot be read"),
        ({"features": FINE["features"]}, "has no array 'labels'"),
        ({"labels": FINE["labels"]}, "has no array 'features'"),
    ],
)
def test_bad_own_files_are_named_with_their_fault(tmp_path, found, sentence) -> None:
    source = save(tmp_path / "mine.npz", found)
    with pytest.raises(InputError, match=sentence):
        run(features=source, budget=3, output=tmp_path / "s.csv")
    assert not (tmp_path / "s.csv").exists()


def test_an_array_that_is_damaged_within_its_file_is_named(tmp_path) -> None:
    source = save(tmp_path / "mine.npz", arrays())
    whole = bytearray(source.read_bytes())
    at = whole.index(FINE["features"].tobytes())
    whole[at : at + 8] = bytes(8)
    source.write_bytes(whole)
    with pytest.raises(InputError, match=r"mine\.npz: features cannot be read \(Bad CRC"):
        run(features=source, budget=3, output=tmp_path / "s.csv")


@pytest.mark.parametrize("form", ["npz", "h5"])
def test_numbers_of_another_byte_order_and_flags_for_labels_are_what_they_are(tmp_path, form) -> None:
    same = {"labels": FINE["labels"] == "ant", "paths": FINE["paths"]}
    for name, kind in (("little", "<f4"), ("big", ">f4")):
        source = save(tmp_path / f"{name}.{form}", same | {"features": FINE["features"].astype(kind)})
        run(features=source, budget=3, output=tmp_path / f"{name}.csv", kind="herding")
    chosen = subset(tmp_path / "big.csv")
    assert chosen == subset(tmp_path / "little.csv") and {name for name, _ in chosen} == {"True", "False"}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"budget": 15}, "class ant has 14 images, fewer than the budget of 15"),
        ({"budget": 15, "kind": "random"}, "class ant has 14 images"),
        ({"budget": 3, "alpha": "-1"}, "--alpha must be at least 0"),
        ({"budget": 3, "beta": "-1"}, "--beta must be at least 0"),
        ({"budget": 3, "capacity": "0.5"}, "--capacity must be at least 1"),
        ({"budget": 3, "epsilon": "0"}, "--epsilon must be more than 0"),
        ({"budget": 3, "exchange": "best"}, "--exchange must be 'optimal', 'released' or 'none'"),
        ({"budget": 3, "kind": "random", "alpha": "1"}, "--alpha is no option of random"),
        ({"budget": 3, "kind": "newest"}, "kind: 'newest' is none of .*'gadc'"),
        ({"budget": [3, 3], "output": ["a", "b"]}, "one --output"),
        ({"budget": [3, 4]}, "one --output"),
        ({}, "--budget is missing"),
        ({"budget": 3, "device": "cuda:9"}, "no device cuda:9"),
        ({"budget": 3, "index": Path("index.csv")}, "either --features or --index"),
    ],
)
def test_bad_options_are_named(tmp_path, options, sentence) -> None:
    source = save(tmp_path / "mine.npz", arrays())
    with pytest.raises(InputError, match=sentence):
        run(**{"features": source, "output": tmp_path / "s.csv"} | options)


def test_damaged_or_mismatched_files_are_named(tmp_path) -> None:
    for name in ("broken.npz", "broken.h5"):
        (tmp_path / name).write_bytes(b"not an array")
        with pytest.raises(InputError, match=f"{name} cannot be read"):
            run(features=tmp_path / name, budget=1, output=tmp_path / "s.csv")
    found = arrays()
    embeddings, _ = save_shards(tmp_path, found, ["ant", "bee"])
    _, other = save_shards(tmp_path, found, ["cat"])
    with pytest.raises(InputError, match="does not list the images of class ant"):
        run(features=embeddings, probabilities=other, budget=1, output=tmp_path / "s.csv")
    flat = save(tmp_path / "flat.h5", found)
    with pytest.raises(InputError, match="is not a shard of the pipeline"):
        run(features=flat, probabilities=other, budget=1, output=tmp_path / "s.csv")


def write_hdf5(path: Path, **attributes: str) -> Path:
    with h5py.File(path, "w") as file:
        file.attrs.update(attributes)
        for name in ("train/embeddings", "train/targets"):
            file[name] = np.zeros((6, 4))
    return path


def test_a_file_of_another_layout_is_told_what_is_needed_and_never_to_be_deleted(tmp_path) -> None:
    """It may be all that somebody has of a week's work."""
    flat = save(tmp_path / "flat.h5", {"embeddings": FINE["features"], "labels": FINE["labels"]})
    npz = save(tmp_path / "flat.npz", {"embeddings": FINE["features"], "labels": FINE["labels"]})
    nested = write_hdf5(tmp_path / "nested.h5")
    grouped = tmp_path / "grouped.h5"
    with h5py.File(grouped, "w") as file:
        file["features/train"], file["labels"] = FINE["features"], np.zeros(48, int)
    for path, held in ((flat, "embeddings, labels"), (npz, "embeddings, labels"), (grouped, "labels")):
        with pytest.raises(
            InputError, match=rf"features \[N, d\] and labels \[N\], and has {held}\.$"
        ) as told:
            run(features=path, budget=3, output=tmp_path / "s.csv")
        assert "delete" not in str(told.value) and str(path) in str(told.value)
    with pytest.raises(InputError, match="and has none that is not in a group") as told:
        run(features=nested, budget=3, output=tmp_path / "s.csv")
    assert "delete" not in str(told.value)
    embeddings, probabilities = save_shards(tmp_path, arrays(), list(CLASSES))
    with pytest.raises(InputError, match=r"nested\.h5 is .* no shard of .*: it holds train") as told:
        run(features=embeddings, probabilities=nested, budget=3, output=tmp_path / "s.csv")
    assert "delete" not in str(told.value)
    with pytest.raises(InputError, match=r"-p\.h5 has no features of class ant: give embeddings"):
        run(features=probabilities, budget=3, output=tmp_path / "s.csv")


def test_a_file_of_ours_that_is_damaged_may_be_deleted_if_it_is_ours(tmp_path) -> None:
    embeddings, _ = save_shards(tmp_path, arrays(), list(CLASSES))
    embeddings.write_bytes(embeddings.read_bytes()[:-100])
    with pytest.raises(InputError, match=r"cannot be read as HDF5 .*: if the pipeline made it, delete it"):
        run(features=embeddings, budget=3, output=tmp_path / "s.csv")


def test_whole_class_equal_images_and_single_images_are_fine(tmp_path) -> None:
    found = {"features": np.ones((9, 4)), "labels": np.array([0, 0, 0, 0, 1, 1, 1, 1, 2])}
    run(features=save(tmp_path / "a.npz", found), budget=1, output=tmp_path / "s.csv", epsilon_unit="median")
    assert subset(tmp_path / "s.csv") == [("0", "0"), ("1", "4"), ("2", "8")]
    found = {name: values[:8] for name, values in found.items()}
    run(features=save(tmp_path / "b.npz", found), budget=4, output=tmp_path / "s.csv")
    assert sorted(path for _, path in subset(tmp_path / "s.csv")) == list("01234567")


@pytest.mark.parametrize(
    ("images", "together"),
    [(400, [32, 8]), (1300, [32, 8]), (5000, [4] * 10), (20_000, [1] * 40)],
)
def test_as_many_classes_are_solved_together_as_fit_in_memory(monkeypatch, images, together) -> None:
    paths = [str(i) for i in range(images)]
    features = np.lib.stride_tricks.as_strided(np.zeros(1, np.float32), (images, 2048), (0, 0))
    classes = [ImageClass(str(c), c, paths, np.arange(images), features) for c in range(40)]
    sizes = []
    monkeypatch.setattr(gadc, "_condense", lambda batch, *_: sizes.append(len(batch)) or [])
    assert list(gadc.choose_by_gadc(classes, [5], Gadc(epsilon=1.0, beta=0, columns=images), "cuda")) == []
    assert sizes == together
