"""Doping picks what the release picks; a doped set is a made one and the most confused real images."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from commands import call
from condense.base.errors import InputError
from condense.base.shards import open_shard, read_text, write_shard
from condense.config.students import StudentNetwork
from condense.images.index import index as stage_index
from condense.images.preprocess import Preprocess
from condense.images.subset import Chosen, by_class, read_subset, write_subset
from condense.students.networks import initialised
from condense.students.student import write_student
from condense.synthesis.confusion import confusion, confusion_of
from condense.synthesis.dope_trigger import Trained, dope_trigger, last_made, marginal_gains
from condense.synthesis.doping import dope, most_confused
from golden_concentration import read, read_json

CLASSES = ("cat", "dog", "eel")


@pytest.mark.parametrize("reference", ["teacher", "label"])
def test_confusion_equals_the_releases(reference):
    values, _ = read("doping")
    known = values["labels"] if reference == "label" else values["teacher_logits"].argmax(1)
    found = confusion_of(values["student_logits"], known)
    assert_close(-found.float(), values[f"clarity.{reference}"], rtol=0, atol=3e-7)


@pytest.mark.parametrize(
    ("case", "reference", "scope", "after"),
    [
        ("global_teacher", "teacher", "global", 0),
        ("classwise_teacher", "teacher", "classwise", 0),
        ("global_label", "label", "global", 0),
        ("global_from_2", "teacher", "global", 2),
    ],
)
def test_choices_equal_the_releases(case, reference, scope, after):
    values, settings = read("doping")
    known = values["labels"] if reference == "label" else values["teacher_logits"].argmax(1)
    scores = confusion_of(values["student_logits"], known).split(settings["images_per_class"])
    expected = settings["choices"][case]
    assert expected["wrong"] == f"{int((torch.cat(scores) > 0).sum())}/{len(known)}"
    named = {str(number): part.numpy() for number, part in enumerate(scores)}
    found = most_confused(named, settings["new_per_class"], scope, after)
    starts = np.cumsum([0, *settings["images_per_class"]])
    assert [[starts[int(name)] + place for place in places] for name, places in found.items()] == expected[
        "chosen_per_class"
    ]


@pytest.mark.parametrize("scope", ["classwise", "global"])
def test_too_few_images_are_one_sentence(scope):
    with pytest.raises(InputError, match=r"few to dope|of which 3 are needed"):
        most_confused({"a": np.zeros(2), "b": np.zeros(3)}, 3, scope)


@pytest.mark.parametrize("run", [*read_json("arithmetic")["trigger"]["runs"]])
def test_the_trigger_equals_eq_30(run):
    case = read_json("arithmetic")["trigger"]["runs"][run]
    trained = [
        Trained(ipc * case["classes"], known)
        for ipc, known in zip(case["ipc"], case["recognised"], strict=True)
    ]
    assert marginal_gains(trained) == pytest.approx(case["gains"], rel=1e-12)
    last = last_made(trained)
    assert (last and last.images // case["classes"]) == case["last_synthetic_ipc"]


@pytest.fixture
def study(tmp_path):
    """Real images of three classes, made ones, and a student of the three classes."""
    from PIL import Image

    draws = np.random.default_rng(0)
    for folder, count in (("images", 5), ("made/m", 2)):
        for name in CLASSES:
            (tmp_path / folder / name).mkdir(parents=True)
            for i in range(count):
                pixels = draws.integers(0, 255, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / folder / name / f"{i}.png")
    call(stage_index, "--root", tmp_path / "images", "--output", tmp_path / "index.csv")
    rows = [
        Chosen(f"m/{name}/{i}.png", name, number, i, made=True)
        for number, name in enumerate(CLASSES)
        for i in range(2)
    ]
    write_subset(rows, tmp_path / "made.csv")
    student(tmp_path / "student.safetensors", 0)
    student(tmp_path / "teacher.safetensors", 1, side=16)
    return tmp_path


def student(path, seed, side=8, images=6):
    network = StudentNetwork(depth=2, width=8)
    weights = initialised(network, side, 3, seed).state_dict()
    wrong = {name: value * torch.nan for name, value in weights.items()}
    preprocess = Preprocess(side=side, resize=side, mean=(0.5,) * 3, std=(0.25,) * 3)
    about = {"images": images, "labels": "hard"}
    write_student(path, network, preprocess, [*CLASSES], {"best": wrong, "last": weights}, **about)


def judge(study, output="c.h5", *more, own="student"):
    given = {"index": study / "index.csv", "student": study / f"{own}.safetensors"}
    given |= {"output": study / output, "state": study / "state", "root": study / "images"}
    call(confusion, *(word for key, value in given.items() for word in (f"--{key}", value)), *more)
    with open_shard(study / output) as file:
        return {
            name: dict(zip(read_text(file[name]["paths"]), file[name]["score"][()].tolist(), strict=True))
            for name in CLASSES
        }


def doped(study, budget, *more, confusion="c.h5") -> pd.DataFrame:
    given = {"index": study / "index.csv", "made-subset": study / "made.csv", "budget": budget}
    given |= {"confusion": study / confusion, "output": study / "doped.csv"}
    given |= {"diagnostics": study / "told.csv", "kind": "doped"}
    call(dope, *(word for key, value in given.items() for word in (f"--{key}", value)), *more)
    return pd.read_csv(study / "told.csv")


def test_a_doped_set_holds_the_made_images_and_the_most_confused_real_ones(study):
    scores = judge(study)
    told = doped(study, 5)
    rows = by_class(read_subset(study / "doped.csv", index=study / "index.csv", made=study / "made"))
    for name in CLASSES:
        assert [row.path for row in rows[name][:2]] == [f"m/{name}/{i}.png" for i in range(2)]
        most = sorted(scores[name], key=lambda path, name=name: -scores[name][path])
        assert [row.path for row in rows[name][2:]] == most[:3]
        assert [row.made for row in rows[name]] == [True] * 2 + [False] * 3
    assert told["chosen"].tolist() == [5] * 3 and told["made"].tolist() == [2] * 3
    assert told["real"].tolist() == [3] * 3
    assert 0 <= told["recognised"].sum() <= 15
    (study / "c.h5").unlink()
    assert judge(study) == scores


def test_one_ranking_of_all_classes_may_add_more_to_one(study):
    groups = [
        (
            name,
            number,
            {
                "paths": [f"{name}/{i}.png" for i in range(5)],
                "score": np.linspace(number, number + 0.5, 5).astype(np.float32),
                "recognised": np.zeros(5, bool),
            },
        )
        for number, name in enumerate(CLASSES)
    ]
    write_shard(study / "g.h5", {"images": 6}, groups)
    told = doped(study, 4, "--scope", "global", confusion="g.h5")
    assert told["real"].tolist() == [0, 1, 5]
    rows = by_class(read_subset(study / "doped.csv"))
    assert [row.path for row in rows["dog"][2:]] == ["dog/4.png"]
    assert doped(study, 2, "--scope", "global", confusion="g.h5")["real"].tolist() == [0] * 3


def test_the_reference_is_the_label_or_what_a_teacher_sees(study):
    labels, taught = judge(study), judge(study, "t.h5", "--teacher", study / "teacher.safetensors")
    assert labels != taught


def test_what_does_not_fit_is_one_sentence(study):
    judge(study)
    with pytest.raises(InputError, match="more than the budget of 1"):
        doped(study, 1)
    with pytest.raises(InputError, match="has 5 images, of which 6 are needed"):
        doped(study, 8)
    rows = read_subset(study / "made.csv")
    write_subset(rows[:-1], study / "made.csv")
    with pytest.raises(InputError, match="has not as many images of each class"):
        doped(study, 5)
    table = pd.read_csv(study / "index.csv")
    table["class"] = "x" + table["class"]
    table.to_csv(study / "index.csv", index=False)
    with pytest.raises(InputError, match="does not know class 'xcat'"):
        judge(study)


def test_an_image_that_cannot_be_read_stops_the_work_or_is_left_out(study):
    (study / "images/dog/3.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"dog/3\.png.*unreadable: skip"):
        judge(study)
    assert len(judge(study, "s.h5", "--unreadable", "skip")["dog"]) == 4


def test_the_trigger_tells_gains_and_where_to_stop(study):
    for images, known in ((6, 3), (12, 11), (30, 14)):
        groups = [
            (
                name,
                number,
                {
                    "paths": [f"{name}/{i}" for i in range(5)],
                    "score": np.zeros(5, np.float32),
                    "recognised": np.arange(5) < (known + 2 - number) // 3,
                },
            )
            for number, name in enumerate(CLASSES)
        ]
        write_shard(study / f"{images}.h5", {"images": images}, groups)
    files = [study / f"{images}.h5" for images in (30, 6, 12)]
    call(dope_trigger, *files, "--output", study / "trigger.csv")
    table = pd.read_csv(study / "trigger.csv")
    assert table["recognised"].tolist() == [3, 11, 14] and table["images_per_class"].tolist() == [2, 4, 10]
    assert table["gain"].tolist()[:2] == pytest.approx([8 / 6, 3 / 18])
    assert table["largest_gain"].tolist()[:2] == pytest.approx([12 / 6, 4 / 18])
    assert table["gain"].isna().tolist() == [False, False, True]
    judge(study)
    write_shard(study / "less.h5", {"images": 60}, groups[:2])
    with pytest.raises(InputError, match="did not judge the same images"):
        call(dope_trigger, *files, study / "less.h5", "--output", study / "trigger.csv")
