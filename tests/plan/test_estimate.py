"""The estimate counts each training once, what borrows weights not at all, and every stage that computes."""

import re
from contextlib import redirect_stdout
from functools import cache
from io import StringIO
from pathlib import Path

import pytest
import yaml
from PIL import Image

from condense.config import study
from condense.config.document import read_config
from condense.config.learners import KINDS
from condense.config.settings import Autoencoder, Encoder, Network
from condense.plan.estimate import count_images, estimate
from condense.plan.needs import Needs
from condense.plan.replicates import replicated
from condense.plan.sizes import encoder_size, generator_size, map_size, space_of

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config.yaml"
HOUR = 989e12 * 0.35 * 3600  # operations


@cache
def printed(**options) -> str:
    """What the command prints of the ImageNet study."""
    with redirect_stdout(StringIO()) as output:
        estimate(CONFIG, None, None, **options)
    return output.getvalue()


def lines(**options) -> dict[str, list[float]]:
    """Numbers of each generator's line: runs, hours of training and sampling, GB of weights and samples."""
    found = re.findall(r"^([a-z][\w-]+) +((?:[\d.]+ *)+)$", printed(**options), re.MULTILINE)
    return {name: [float(word) for word in words.split()] for name, words in found}


def stages() -> dict[str, list[float]]:
    """Numbers of each stage's line: images, hours, GB."""
    found = re.findall(r"^([a-z]+) +([\d,]+,\d{3}) +([\d.]+) +([\d.]+)$", printed(), re.MULTILINE)
    return {name: [float(word.replace(",", "")) for word in words] for name, *words in found}


def needs_of(example: str) -> Needs:
    """Needs of an example's comparison on the digits that can be chosen."""
    chosen = study.load(read_config(ROOT / f"examples/{example}/config.yaml"))
    every = {run for kind in KINDS for run in chosen.rows("100", kind)}
    return Needs(replicated(chosen), 1432, 10, every)


def test_students_and_their_teachers_are_counted_by_the_views_that_they_are_trained_on():
    assert "learning" not in printed()
    need = needs_of("digits-students").stages()["learning"]
    students, seeds, teachers, epochs = 3 * 3, 3, 3, 300
    assert need.images == students * seeds * epochs * 100 + teachers * 30 * 1432
    with redirect_stdout(StringIO()) as output:
        estimate(ROOT / "examples/digits-students/config.yaml", None, None)
    assert re.search(r"^learning +[\d,]+ +0.0 +0.0$", output.getvalue(), re.MULTILINE)


def test_made_images_are_counted_with_their_chains_and_the_training_of_their_generator():
    needs = needs_of("distil")
    need = needs.stages()["synthesis"]
    one = generator_size(Network(depth=3, width=96, heads=3, patch=2), (3, 8, 8), 10, True).operations
    seeds = len(needs.study.seeds)
    plain = seeds * 100 * 50 * 2 * one
    assert need.images >= seeds * 100 and need.operations >= plain * (1 - 1e-9)
    assert needs.training("dit").operations == pytest.approx(2000 * 3 * 64 * one)
    assert needs.sampling("dit").operations == 0


def test_tables_add_runs_but_none_is_counted_twice():
    few, many = lines(), lines(tables=True)
    assert few.keys() < many.keys()
    assert all(many[name][0] >= few[name][0] for name in few)
    per_run = {name: row[1] / row[0] for name, row in many.items()}
    assert round(per_run["dit-l-2-300k"] / per_run["dit-l-2"], 1) == 3.0


def test_borrowed_weights_cost_no_training_and_no_weights():
    runs, training, sampling, weights, _ = lines(tables=True)["dit-l-2-25k"]
    assert runs > 0 and sampling > 0 and training == weights == 0


def test_the_shared_stages_of_the_imagenet_study_are_counted():
    found = stages()
    chosen = 7 * 10_000 + 5 * 50_000 + 5 * 100_000  # images of the comparisons' subsets
    assert found["patches"][::2] == [chosen, round(chosen * 2 * 256 * 768 * 2 / 1e9, 1)]
    assert found["patches"][2] == 644.9
    assert found["latents"][::2] == [chosen, round(chosen * 2 * 8 * 32 * 32 * 2 / 1e9, 1)]
    assert found["embeddings"][::2] == [1_281_167, round(1_281_167 * 2048 * 4 / 1e9, 1)]
    assert found["references"][::2] == [1_291_167, round(1_291_167 * 2048 * 4 / 1e9, 1)]
    assert found["detection"][::2] == [22 * 50_000, round(22 * 50_000 * (2048 + 1008) * 4 / 1e9, 1)]
    ranking = 10 * 2 * 28 * 256 * (12 * 1152**2 + 2 * 256 * 1152)  # DiT-XL/2 at ten times
    hours = found["difficulty"][1] * HOUR / 1_281_167
    assert ranking < hours < 1.2 * ranking  # the rest is the autoencoder


def test_the_total_is_the_sum_of_the_lines():
    hours, disk, samples = map(
        float, re.findall(r"total (\d+) GPU hours; (\d+) GB, and (\d+) GB", printed())[0]
    )
    generators, shared = lines().values(), stages().values()
    assert hours == pytest.approx(sum(r[1] + r[2] for r in generators) + sum(r[1] for r in shared), abs=1)
    assert disk == pytest.approx(sum(r[3] for r in generators) + sum(r[2] for r in shared), abs=1)
    assert samples == pytest.approx(sum(r[4] for r in generators), abs=1)


def test_the_readme_shows_what_is_printed():
    assert f"```\n{printed()}```" in (ROOT / "README.md").read_text()


def needs(name: str, methods: list[str], **changes) -> Needs:
    """Needs of one comparison of an example, on 100 images of 10 classes."""
    config = yaml.safe_load((ROOT / "examples" / name / "config.yaml").read_text())
    config["methods"]["random"] |= changes
    comparison = next(iter(config["comparisons"].values()))
    comparison["methods"], comparison["generators"] = methods, comparison["generators"][:1]
    loaded = study.load(config)
    runs = {run for budget in loaded.comparisons for run in loaded.rows(budget, "generator")}
    return Needs(loaded, 100, 10, runs)


def test_the_training_of_a_generator_that_ranks_is_counted_and_its_samples_are_not():
    ranked, drawn = needs("digits", ["d2c"]), needs("digits", ["random"])
    assert ranked.training("sit-tiny").operations == 2 * drawn.training("sit-tiny").operations
    assert ranked.sampling("sit-tiny") == drawn.sampling("sit-tiny")
    assert ranked.stages()["difficulty"].images == 100 and "difficulty" not in drawn.stages()


def test_an_untrained_generator_takes_no_step_and_has_a_file():
    untrained, drawn = needs("digits", ["untrained"]), needs("digits", ["random"])
    assert untrained.training("sit-tiny").operations == 0
    assert untrained.training("sit-tiny").kept * 4 == drawn.training("sit-tiny").kept  # three milestones
    assert untrained.stages()["latents"].images == 0


def test_sizes_are_those_that_are_published():
    assert encoder_size(Encoder(kind="torchvision", model="inception_v3")).numbers == 2048
    operations = encoder_size(Encoder(kind="torchvision", model="resnet34")).operations
    assert operations == pytest.approx(2 * 3.66e9, rel=0.01)  # torchvision tells multiply-adds
    dinov2 = Encoder(kind="timm", model="vit_base_patch14_dinov2.lvd142m", options={"dynamic_img_size": True})
    assert map_size(dinov2, 256).numbers == 256 * 768 and map_size(dinov2, 512).numbers == 1024 * 768
    network = generator_size(Network(size="XL"), (4, 32, 32), 1000, True)
    assert network.numbers == pytest.approx(675e6, rel=0.01)  # Peebles and Xie 2023
    assert network.operations == pytest.approx(2 * 118.6e9, rel=0.01)
    assert space_of(None, 8).shape == (3, 8, 8)
    assert space_of(Autoencoder(kind="tiny"), 64).encoding.numbers == 4 * 8 * 8  # no deviations


def test_images_are_counted_where_they_are(tmp_path):
    images = study.load(yaml.safe_load((ROOT / "examples/imagenette/config.yaml").read_text())).images
    assert count_images(images, tmp_path)[:2] == (1_281_167, 1000)
    assert "no results/index.csv, no images.root" in count_images(images, tmp_path)[2]
    for name in ("ant", "bee"):
        for number in range(3):
            path = tmp_path / images.root / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("L", (4, 4)).save(path)
    assert count_images(images, tmp_path) == (6, 2, images.root)
    (tmp_path / "results").mkdir()
    (tmp_path / "results/index.csv").write_text("path,class,class_index,bytes\nant/0.png,ant,0,9\n")
    assert count_images(images, tmp_path) == (1, 1, "results/index.csv")
