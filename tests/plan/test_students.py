"""What the rules of students ask of a study, and the faults of a config that has some."""

import copy
import dataclasses
import shlex
from pathlib import Path

import pytest
import yaml

from condense.base.errors import InputError
from condense.config import study
from condense.config.options import build
from condense.config.recipes import Dc, StudentTraining
from condense.config.settings import Images
from condense.config.students import StudentNetwork
from condense.plan.plan import Plan

ROOT = Path(__file__).parents[2]
RUN = {"method": "gadc", "budget": "100", "seed": "1"}


@pytest.fixture
def config():
    config = yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())
    config["images"]["validation"] = 0.2
    config["students"] = {
        "hard": {"resolution": 8, "network": {"depth": 2}, "training": {"epochs": 5}},
        "online": {
            "resolution": 8,
            "training": {"recipe": "dsco-soft"},
            "labels": {"teachers": ["cnn", "hard"], "teacher_count": [[10, 1], [None, 2]]},
        },
        "stored": {
            "resolution": 8,
            "training": {"recipe": "edc"},
            "labels": {"teachers": ["hard", "cnn"], "view": "image"},
        },
    }
    config["comparisons"]["100"]["methods"] = ["full", "random", "gadc"]
    config["comparisons"]["100"]["students"] = ["hard", "stored"]
    return config


def test_a_training_depends_on_subset_indices_and_who_labels(config):
    inputs = Plan(config).inputs
    files = {"index": "results/index.csv", "validation_index": "results/validation_index.csv"}
    assert inputs.learn("hard", **RUN) == files
    assert inputs.learn("online", **RUN) == files | {"teacher": ["results/encoders/cnn.safetensors"]}
    labels = "results/labels/stored/gadc/100/seed1.safetensors"
    assert inputs.learn("stored", **RUN) == files | {"soft_labels": labels}


def test_teaching_students_learnt_from_all_images_with_the_seed_of_their_pupil(config):
    inputs = Plan(config).inputs
    teachers = ["results/students/hard/full/all/seed1.safetensors", "results/encoders/cnn.safetensors"]
    assert inputs.relabel("stored", "100", "1")["teacher"] == teachers
    assert inputs.learn("online", **RUN | {"budget": "200"})["teacher"] == teachers[::-1]  # 20 of each class
    assert inputs.learn("online", **RUN | {"method": "full", "budget": "all"})["teacher"] == teachers[::-1]


def test_rows_of_a_table_go_student_by_student_and_name_what_was_trained_on(config):
    plan = Plan(config)
    assert plan.inputs.accuracies("100") == [
        f"results/accuracies/{student}/{run}/seed0.csv"
        for student in ("hard", "stored")
        for run in ("full/all", "random/100", "gadc/100")
    ]
    assert {"results/accuracy_100.csv", "results/fid_100.csv"} <= {*plan.targets.tables()}


def test_a_method_without_images_has_generators_and_no_students(config):
    config["comparisons"]["100"]["methods"] = ["untrained", "random"]
    plan = Plan(config)
    assert [run.method for run in plan.study.rows("100", "student")] == ["random"] * 2
    assert "untrained" in {run.method for run in plan.study.rows("100", "generator")}


def test_a_study_of_students_alone_shows_nothing_of_generators(config):
    only = {"methods": ["random", "gadc"], "students": ["hard"]}
    targets = Plan(config | {"comparisons": {"100": only}, "tables": {}}).targets
    assert [path for path in targets.tables() if "_100" in path] == [
        "results/accuracy_100.csv",
        "results/accuracies_100.csv",
        "results/tables/accuracy_100.csv",
    ]
    shown = targets.shown("100")
    figures = ["learning_100", "objective_100"]
    figures += [f"confusion/hard/{method}/100/seed0" for method in ("random", "gadc")]
    pictures = [f"results/figures/{name}.png" for name in figures]
    assert shown[2:] == [*pictures, "results/tables/accuracy_100.html"] and not targets.cards()


def test_a_recipe_survives_the_command_line(config):
    plan = Plan(config)
    words = shlex.split(plan.options.learn("online", "1"))
    assert words[words.index("--recipe") + 1] == "dsco-soft"
    assert words[-4:] == [
        "--resolution",
        "8",
        "--seed",
        "1",
    ]
    training = plan.study.students["online"].training
    assert training == build(StudentTraining, {"recipe": "dsco-soft"})
    assert plan.study.students["hard"].training == build(StudentTraining, {"epochs": 5})


def test_a_replicate_has_its_own_teachers_images_and_training(config):
    config["seeds"] = [0, 1]
    inputs, options = Plan(config).inputs, Plan(config).options
    assert inputs.learn("online", **RUN)["teacher"] == ["results/encoders/cnn.1.safetensors"]
    assert "results/accuracies/hard/random.1/100/seed1.csv" in inputs.accuracies("100")
    words = shlex.split(options.examine("hard", "random.1", "100", "1"))
    assert words[-8:] == ["--student", "hard", "--method", "random", "--budget", "100", "--seed", "1"]
    assert shlex.split(options.learn("hard", "1"))[-1] == "1"
    config["vary"] = ["encoder", "draw"]
    assert shlex.split(Plan(config).options.learn("hard", "1"))[-1] == "0"


def test_every_setting_of_a_student_is_a_parameter_of_its_job(config):
    """A changed default is a changed job."""
    words = set(shlex.split(Plan(config).options.learn("hard", "1")))
    for settings in (Dc, StudentNetwork, Images):
        for field in dataclasses.fields(settings):
            name = field.name.replace("_", "-")
            assert {f"--{name}", f"--no-{name}"} & words, name


def test_a_table_takes_students_where_it_takes_generators(config):
    config["tables"] = {
        "accuracy": {
            "columns": ["student"],
            "metrics": ["accuracy"],
            "methods": ["random", "gadc"],
            "students": ["hard", "stored"],
            "budgets": ["50", "100"],
            "rows": ["method", "budget"],
            "plot": "images",
        }
    }
    plan = Plan(config)
    found = plan.inputs.tabulate("accuracy")
    assert len(found) == 8 and found[0] == "results/accuracies/hard/random/50/seed0.csv"
    assert {"results/tables/accuracy.html", "results/figures/tables/accuracy.png"} <= {*plan.targets.shown()}


def changed(config, key, value):
    config = copy.deepcopy(config)
    *parents, last = key.split(".")
    part = config
    for parent in parents:
        part = part.setdefault(parent, {})
    part[last] = value
    return config


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("students.hard.training.epoch", 3, "students.hard.training.epoch is not a known key"),
        (
            "students.hard.training.recipe",
            "idc",
            "students.hard.training.recipe: 'idc' is none of 'dc', 'minimax'",
        ),
        (
            "students.hard.training.learning_rate",
            0,
            "students.hard.training.learning_rate: must be more than 0",
        ),
        ("students.hard.network.depth", 0, "students.hard.network.depth"),
        ("students.hard.network.architecture", "resnet", "depth of resnet is one of 10, 18, 34"),
        ("students.hard.network.model", "resnet50", "`model` goes with architecture torchvision or timm"),
        ("students.hard.training.loss", "kl", "loss kl of recipe dc needs labels.teachers"),
        ("students.online.training.recipe", "dsco", "loss ce of recipe dsco takes no labels.teachers"),
        ("students.online.labels.teachers", ["vgg"], "students.online.labels.teachers names 'vgg'"),
        ("students.online.labels.trained_on", "gadc", "students.online.labels.trained_on names 'gadc'"),
        ("students.online.labels.teacher_count", [[1, 1]], "the pairs of `teacher_count` rise"),
        ("comparisons.100", {"methods": ["random"]}, "a comparison needs generators or students"),
        ("comparisons.100.students", ["soft"], "comparisons.100.students names 'soft', which is not defined"),
        ("images.validation", 1.5, "a share of `validation` lies between 0 and 1"),
        ("students.none", {"resolution": 8}, "cannot be a name"),
        (
            "students.hard",
            {"resolution": 8, "network": {"architecture": "resnet-ap", "depth": 10}},
            "a resnet-ap of 8 pixels ends in maps of one, which network.norm instance makes constant",
        ),
    ],
)
def test_a_fault_is_one_sentence_that_names_the_key(config, key, value, sentence):
    with pytest.raises(InputError) as fault:
        study.load(changed(config, key, value))
    assert sentence in str(fault.value) and "\n" not in str(fault.value)


def test_students_without_validation_images_are_refused(config):
    del config["images"]["validation"]
    with pytest.raises(
        InputError, match=r"students and judges look at validation images: give images\.validation"
    ):
        study.load(config)
