"""What a grid asks of a study: jobs behind each set, its picture, its agreement, and what is refused."""

import pytest
import yaml

from condense.base.errors import InputError
from condense.config import study
from condense.plan.files import Files
from condense.plan.making_files import making_files
from condense.plan.plan import Plan
from sources import ROOT

EXAMPLES = ("grid", "grid-quick", "cifar10-grid", "imagenette-grid")
LONGEST = 2**17  # bytes of one word of a command line under Linux; a job's whole command is one


def config(name: str = "grid") -> dict:
    return yaml.safe_load((ROOT / f"examples/{name}/config.yaml").read_text())


@pytest.fixture(scope="module")
def files():
    return Files(Plan(config()).study)


MAKER = {"latents/pixels/8/full/all.tsv", "train/maker/full/all/seed0.tsv"}
FEATURES = {"encoder/cnn.tsv", "embed/cnn/*.tsv"}
PROBABILITIES = {"head/cnn.tsv", "classify/cnn/*.tsv"}
SURROGATE = {"learn/surrogate/full/all/seed0.tsv"}


@pytest.mark.parametrize(
    ("method", "own", "shared"),
    [
        ("random", {"select/random/10/*.tsv"}, set()),
        ("herding", {"select/herding/10/*.tsv"}, FEATURES),
        ("ccs", {"select/ccs/10/*.tsv"}, FEATURES | PROBABILITIES),
        ("d2c", {"select/d2c/10/*.tsv"}, MAKER | {"difficulty/d2c/*.tsv"}),
        ("samples", {"synthesise/samples/10/*.tsv"}, MAKER),
        ("minimax", {"synthesise/minimax/10/*.tsv"}, MAKER | {"finetune/minimax/full/all/seed0.tsv"}),
        ("igd", {"synthesise/igd/10/*.tsv"}, MAKER | SURROGATE),
        ("dsco", {"synthesise/dsco/10/*.tsv"}, MAKER),
        (
            "s3",
            {"choose_groups/s3/10.tsv", "synthesise/samples/10/*.tsv"}
            | {f"synthesise/samples.group{number}/10/*.tsv" for number in range(1, 5)},
            MAKER | FEATURES,
        ),
        (
            "dsco-doped",
            {
                "synthesise/dsco/5/*.tsv",
                "learn/convnet/dsco/5/seed0.tsv",
                "relabel/convnet/dsco/5/seed0.tsv",
                "confusion/label/convnet/dsco/5/seed0/*.tsv",
                "dope/dsco-doped/10/*.tsv",
            },
            MAKER,
        ),
    ],
)
def test_the_jobs_behind_a_set_are_all_that_it_needs(files, method, own, shared):
    found = making_files(files, method, "10")
    assert set(found.own) == own
    assert set(found.shared) == shared


def test_a_replicate_has_jobs_of_its_own(files):
    found = making_files(files, "gadc.2", "50")
    assert found.own == ("select/gadc.2/50/*.tsv",) and "encoder/cnn.2.tsv" in found.shared
    assert "train/maker/full/all/seed2.tsv" in making_files(files, "samples.2", "1").shared


def test_an_imported_checkpoint_costs_no_training():
    found = config("imagenette-distil")
    files = Files(Plan(found).study)
    assert making_files(files, "samples", "10").shared == ()
    assert making_files(files, "minimax", "10").shared[0].startswith("finetune/dit-minimax/full/all/")


def test_the_grid_has_a_picture_and_an_agreement_and_only_they_do():
    plan = Plan(config())
    shown = plan.targets.shown()
    assert "results/figures/grids/grid.png" in shown
    assert [path for path in shown if "agreement" in path] == [
        f"results/agreement/{name}.html" for name in ("grid", "one", "fifty")
    ]
    assert "results/agreement/grid.csv" in plan.targets.tables()
    assert not [
        path for path in Plan(config("digits")).targets.shown() if "grids" in path or "agreement" in path
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_command_of_a_grid_is_short_enough_for_linux(name):
    plan = Plan(config(name))
    for table in plan.study.tables:
        words = plan.options.tabulate(table) + " ".join(plan.inputs.tabulate(table))
        assert len(words.encode()) < 0.9 * LONGEST


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"control": None}, "plot: grid needs a control"),
        ({"control": "randm"}, r"tables\.grid\.control names 'randm', which is not defined"),
        ({"control": "minimax-im"}, r"tables\.grid\.control names 'minimax-im'"),
        (
            {"rows": ["method", "metric"], "columns": ["judge", "generator", "student", "budget"]},
            "rows are methods",
        ),
    ],
)
def test_a_faulty_grid_is_one_sentence_that_names_the_key(change, sentence):
    faulty = config()
    faulty["tables"]["grid"] |= change
    with pytest.raises(InputError, match=sentence):
        study.load(faulty)
