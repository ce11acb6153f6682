"""Courses of the papers' recipes: epochs, batches, learning rates, evaluations as their codes have them."""

import json
from pathlib import Path
from typing import get_args, get_type_hints

import pytest
import torch

from condense.base.errors import InputError
from condense.config.options import build
from condense.config.recipes import StudentTraining
from condense.students.recipes import Course, dividing_batch, factor
from golden_students import FOLDER, read


def recipe(name: str, **changes: object):
    return build(StudentTraining, {"recipe": name} | changes)


NAMES = [get_args(get_type_hints(cls)["recipe"])[0] for cls in get_args(StudentTraining)]
SCHEDULES = json.loads((FOLDER / "schedules.json").read_text())
RELEASED = {  # schedule of the release: ours
    "multisteplr": {"schedule": "steps", "milestones": ((2, 3), (5, 6)), "drop": 0.2},
    "coslr": {"schedule": "half-cosine"},
    "cosineannealinglr": {"schedule": "cosine"},
    "cosineannealwithwarmuplr": {"schedule": "warm-cosine"},
}


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_names_every_recipe(name):
    assert f"`{name}`" in (Path(__file__).parents[2] / "docs/students.md").read_text()


@pytest.mark.parametrize("name", SCHEDULES["relative_lr_at_epoch"])
def test_rates_equal_the_released_schedules(name):
    schedule, epochs = name.split(".")
    chosen = recipe("dc", **RELEASED[schedule])
    for epoch, rate in SCHEDULES["relative_lr_at_epoch"][name].items():
        assert factor(chosen, int(epoch), int(epochs)) == pytest.approx(rate, rel=1e-12, abs=1e-14)


@pytest.mark.parametrize(
    ("released", "ours"), [("cos", "half-linear"), ("linear", "half-linear"), ("cos2", "cut-cosine")]
)
def test_rates_equal_those_of_edc(released, ours):
    rates = read("edc")[0][f"learning_rate.{released}"].tolist()
    chosen = recipe("edc", schedule=ours)
    assert [1e-3 * factor(chosen, epoch, 30) for epoch in range(30)] == pytest.approx(rates, rel=1e-9)


@pytest.mark.parametrize(
    ("table", "name", "classes"),
    [
        ("nette", "dsco", 10),
        ("minimax_10", "minimax", 10),
        ("minimax_100", "minimax", 100),
        ("minimax_1000", "minimax", 1000),
    ],
)
def test_epochs_go_by_images_per_class_as_released(table, name, classes):
    for per_class, epochs in SCHEDULES["epochs_by_ipc"][table].items():
        assert Course.of(recipe(name), int(per_class) * classes, classes).epochs == epochs


def test_dsco_lowers_batch_and_rate_until_the_batch_divides_the_images():
    for images, asked, used, rate in SCHEDULES["batch_as_released"]["rows"]:
        course = Course.of(recipe("dsco", batch=asked), images, 10)
        assert (course.batch, course.learning_rate) == (used, pytest.approx(rate, rel=1e-12))
    assert dividing_batch(10, 64, 32) == 10


def test_dc_drops_its_rate_once_in_the_middle_and_is_evaluated_at_the_end():
    course = Course.of(recipe("dc"), 100, 10)
    assert (course.epochs, course.batch) == (300, 256)
    assert [course.rate(epoch) for epoch in (0, 149, 150, 299)] == pytest.approx([0.01, 0.01, 0.001, 0.001])
    assert [epoch for epoch in range(300) if course.drops(epoch)] == [150]
    assert [done for done in range(1, 301) if course.evaluates(done)] == [300]


def evaluated(name: str, per_class: int) -> list[int]:
    course = Course.of(recipe(name), 10 * per_class, 10)
    return [done for done in range(1, course.epochs + 1) if course.evaluates(done)]


def test_recipes_are_evaluated_at_the_epochs_of_their_papers():
    assert evaluated("rded", 10) == [250, 260, 270, 280, 290, 300]
    assert evaluated("edc", 10) == [*range(30, 301, 30)]
    assert evaluated("minimax", 10) == [*range(20, 2001, 20)]
    assert evaluated("dsco", 50) == [*range(1010, 1501, 10)]


def test_rded_takes_larger_batches_of_larger_sets():
    assert [Course.of(recipe("rded"), 10 * n, 10).batch for n in (10, 50)] == [100, 200]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"epochs": 0}, "`epochs` is above 0"),
        ({"epochs": [[10, 5]]}, "the pairs of `epochs` rise"),
        ({"batch": [[50, 5], [10, 5], [None, 1]]}, "the pairs of `batch` rise"),
        ({"mean": [0.5, 0.5, 0.5]}, "`mean` and `std` are given together"),
        ({"crop": [0.9, 0.1]}, "`crop` is two shares"),
        ({"keep_margin": True}, "`keep_margin` needs `crop`"),
        ({"milestones": [[3, 2]]}, "`milestones` are fractions"),
        ({"cutmix": 1.5}, "--cutmix"),
    ],
)
def test_a_setting_out_of_bounds_is_one_sentence(changes, sentence):
    with pytest.raises(InputError) as fault:
        recipe("dc", **changes)
    assert sentence in str(fault.value) and "\n" not in str(fault.value)


def test_a_recipe_differs_from_dc_by_defaults_alone():
    import dataclasses

    names = [field.name for field in dataclasses.fields(recipe("dc"))]
    for name in ("minimax", "minimax-large", "igd", "dsco", "dsco-soft", "rded", "edc"):
        assert [field.name for field in dataclasses.fields(recipe(name))] == names
    same = {key: value for key, value in vars(recipe("edc")).items() if key != "recipe"}
    assert {key: value for key, value in vars(recipe("dc", **same)).items() if key != "recipe"} == same
    assert torch.tensor(recipe("igd").std).tolist() == [0.5, 0.5, 0.5]
