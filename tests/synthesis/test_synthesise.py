"""Stage synthesise: made images as a subset, each a function of its class, number and settings alone."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import get_args, get_type_hints

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from commands import call
from condense.base.artefacts import write_artefact
from condense.base.errors import InputError
from condense.base.linear import each_alone
from condense.config.settings import Network
from condense.config.synthesis import Synthesis
from condense.diffusion import adm
from condense.diffusion.autoencoders import Pixels
from condense.diffusion.samplers import guide
from condense.diffusion.transformer import build
from condense.images.index import index as stage_index
from condense.images.subset import read_subset
from condense.synthesis import methods, samples
from condense.synthesis.chain import Chain
from condense.synthesis.given import Given
from condense.synthesis.synthesise import synthesise, to_pixels

NAMES = ("n01440764", "n02102040", "n02979186")


def network() -> torch.nn.Module:
    """A transformer whose predictions depend on x, time and class."""
    torch.manual_seed(0)
    built = build(Network(depth=2, width=32, heads=2, patch=2), (3, 8, 8), 3, True)
    for parameter in built.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return built.eval().requires_grad_(False)


@pytest.fixture
def words(tmp_path) -> list:
    """Command line for three classes and a generator that knows them."""
    for name in NAMES:
        (tmp_path / "images" / name).mkdir(parents=True)
        for i in range(2):
            pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / name / f"{i}.png")
    about = {"objective": "adm", "network": vars(Network(depth=2, width=32, heads=2, patch=2))}
    about |= {"classes": 3, "shape": [3, 8, 8]}
    write_artefact(tmp_path / "w.safetensors", about, network().state_dict())
    call(stage_index, "--root", tmp_path / "images", "--output", tmp_path / "index.csv")
    return [
        *("--kind", "samples", "--steps", "5", "--guidance", "2", "--weights", tmp_path / "w.safetensors")
    ]


def run(folder, words, name="all", index="index.csv", *more) -> pd.DataFrame:
    """Make images below `made/{name}`; the table of diagnostics."""
    place = {"index": folder / index, "made": folder / "made", "images": folder / "made" / name}
    place |= {"output": folder / f"{name}.csv", "diagnostics": folder / f"{name}.told.csv"}
    place |= {"state": folder / "state" / name}
    given = [word for key, path in place.items() for word in (f"--{key}", path)]
    call(synthesise, *words, "--budget", "4", *given, *more)
    return pd.read_csv(folder / f"{name}.told.csv")


def pictures(folder) -> dict[str, bytes]:
    """Pixels of the images below a folder, by class and number."""
    return {
        file.relative_to(folder).as_posix(): np.asarray(Image.open(file)).tobytes()
        for file in sorted(folder.rglob("*.png"))
    }


def test_made_images_are_a_subset_that_is_read_like_any_other(tmp_path, words):
    told = run(tmp_path, words)
    rows = read_subset(tmp_path / "all.csv", index=tmp_path / "index.csv", made=tmp_path / "made")
    assert [(row.cls, row.rank, row.made) for row in rows] == [
        (name, rank, True) for name in NAMES for rank in range(4)
    ]
    assert told["chosen"].tolist() == [4] * 3 and told["images"].tolist() == [2] * 3
    assert len(set(pictures(tmp_path / "made" / "all").values())) == 12
    with Image.open(tmp_path / "made" / rows[5].path) as image:
        assert image.text["class"] == NAMES[1] and image.text["number"] == "1"
        assert "guidance" in image.text["settings"]
    assert not (tmp_path / "state" / "all").exists()


def test_seconds_are_of_a_class_in_the_table_and_of_all_in_what_it_says(tmp_path, words, monkeypatch):
    clock = SimpleNamespace(perf_counter=iter((100.0, 106.0)).__next__)
    monkeypatch.setattr(sys.modules[synthesise.__module__], "time", clock)
    place = {"index": "index.csv", "made": "made", "images": "made/all", "output": "all.csv"}
    place |= {"diagnostics": "told.csv", "state": "state"}
    given = [word for key, path in place.items() for word in (f"--{key}", tmp_path / path)]
    said = call(synthesise, *words, "--budget", "4", *given)
    assert pd.read_csv(tmp_path / "told.csv")["seconds"].tolist() == [2.0] * 3
    assert "12 images of 3 classes in 6.0 s" in said


def test_an_image_is_the_same_in_any_batch_and_shard(tmp_path, words):
    run(tmp_path, words)
    run(tmp_path, words, "batched", "index.csv", "--batch", "1")
    table = pd.read_csv(tmp_path / "index.csv")
    table[table["class"] == NAMES[1]].to_csv(tmp_path / "one.csv", index=False)
    run(tmp_path, words, "one", "one.csv")
    whole = pictures(tmp_path / "made" / "all")
    assert pictures(tmp_path / "made" / "batched") == whole
    alone = pictures(tmp_path / "made" / "one")
    assert alone == {path: pixels for path, pixels in whole.items() if NAMES[1] in path}
    run(tmp_path, words, "again", "index.csv", "--seed", "1")
    assert not {*pictures(tmp_path / "made" / "again").values()} & {*whole.values()}


def test_samples_are_the_chain_of_the_sampler():
    net = network()
    chain = Chain(net, (3, 8, 8), Pixels(), torch.device("cpu"), 5, 2.0, None)
    drawn = samples.draw_images(chain, [("a", 0), ("a", 1)], 1, 7)
    noise = chain.noise(7, [("a", 0), ("a", 1)])
    with each_alone():
        expected = adm.ddpm(guide(net, torch.tensor([1, 1]), 2.0), noise(), 5, lambda i: noise())
    torch.testing.assert_close(drawn, expected, rtol=0, atol=0)


def test_pixels_come_back_as_they_were_encoded():
    pixels = torch.arange(256, dtype=torch.uint8).expand(1, 3, 1, 256)
    assert (to_pixels(pixels.float() / 127.5 - 1) == pixels.permute(0, 2, 3, 1).numpy()).all()


def test_an_interrupted_run_goes_on_to_the_same_images(tmp_path, words, monkeypatch):
    run(tmp_path, words)
    whole = methods.MAKERS["samples"]

    def stopped(*given):
        for number, made in enumerate(whole(*given)):
            if number == 2:
                raise BrokenPipeError
            yield made

    monkeypatch.setitem(methods.MAKERS, "samples", stopped)
    with pytest.raises(BrokenPipeError):
        run(tmp_path, words, "cut")
    assert not (tmp_path / "made" / "cut").exists() and len([*(tmp_path / "state" / "cut").iterdir()]) == 2
    drawn = []

    def counted(*given):
        for made in whole(*given):
            drawn.append(made[0])
            yield made

    monkeypatch.setitem(methods.MAKERS, "samples", counted)
    run(tmp_path, words, "cut")
    assert drawn == [NAMES[2]]
    assert pictures(tmp_path / "made" / "cut") == pictures(tmp_path / "made" / "all")


def test_a_killed_job_goes_on_to_the_same_bytes(tmp_path, words):
    words = [*words, "--steps", "400"]  # long enough to be killed in
    run(tmp_path, words)
    place = {
        "index": "index.csv",
        "made": "made",
        "images": "made/cut",
        "output": "cut.csv",
        "state": "state",
    }
    named = [word for key, name in place.items() for word in (f"--{key}", str(tmp_path / name))]
    command = [sys.executable, "-m", "condense", "synthesise", *map(str, words), "--budget", "4", *named]
    path = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2] / "workflow")}
    with subprocess.Popen(command, env=path, stderr=subprocess.DEVNULL) as job:
        while job.poll() is None and not [*(tmp_path / "state").glob("*.npz")]:
            time.sleep(0.01)
        job.kill()
    assert job.returncode == -signal.SIGKILL and not (tmp_path / "cut.csv").exists()
    done = subprocess.run(command, env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "images are there" in done.stderr
    assert pictures(tmp_path / "made/cut") == pictures(tmp_path / "made/all")
    assert sorted(file.name for file in (tmp_path / "made").iterdir()) == ["all", "cut"], "nothing is left"


def test_what_a_job_left_that_was_killed_while_it_wrote_is_removed(tmp_path, words):
    (tmp_path / "made/.all.123.part/n01440764").mkdir(parents=True)
    run(tmp_path, words)
    run(tmp_path, [*words, "--seed", "1"])
    assert [file.name for file in (tmp_path / "made").iterdir()] == ["all"]
    assert len(pictures(tmp_path / "made/all")) == 12


def test_images_that_are_not_finite_are_one_sentence(tmp_path, words, monkeypatch):
    monkeypatch.setitem(
        methods.MAKERS, "samples", lambda *given: [(NAMES[0], torch.full((1, 3, 8, 8), torch.nan))]
    )
    with pytest.raises(InputError, match=f"{NAMES[0]}.* that are not finite"):
        run(tmp_path, words)


def test_a_generator_of_another_objective_is_one_sentence(tmp_path, words):
    about = {"objective": "flow", "network": vars(Network(depth=2, width=32, heads=2, patch=2))}
    flow = build(Network(depth=2, width=32, heads=2, patch=2), (3, 8, 8), 3, False)
    write_artefact(tmp_path / "w.safetensors", about | {"classes": 3, "shape": [3, 8, 8]}, flow.state_dict())
    with pytest.raises(InputError, match="has the objective flow"):
        run(tmp_path, words)


def test_images_that_subsets_would_not_find_are_refused(tmp_path, words):
    with pytest.raises(InputError, match="does not lie below --made"):
        run(tmp_path, words, "all", "index.csv", "--images", tmp_path / "elsewhere")


def test_a_maker_that_looks_at_real_images_is_told_that_there_are_none():
    with pytest.raises(InputError, match="--latents is missing"):
        Given(torch.device("cpu")).real(0)


def test_every_kind_has_a_maker():
    kinds = {kind for cls in Synthesis.__subclasses__() for kind in get_args(get_type_hints(cls)["kind"])}
    assert kinds == methods.MAKERS.keys()


def test_the_documentation_names_every_way_to_make_images():
    text = (Path(__file__).parents[2] / "docs/synthesis.md").read_text()
    assert methods.MAKERS.keys() <= {*re.findall(r"^\| `([\w-]+)` \|", text, re.MULTILINE)}
