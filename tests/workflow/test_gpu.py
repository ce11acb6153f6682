"""What a GPU is to show is rehearsed: its paths on the stand-in, every part at toy size, the minutes."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.gpu import __main__ as runner
from benchmarks.gpu import checks, stage_checks
from benchmarks.gpu import pack as packing
from benchmarks.gpu.differences import difference
from benchmarks.gpu.figures import Figure, Outcome, Place, Record
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.table import table
from benchmarks.gpu.work import work
from condense.base.errors import InputError
from condense.config.settings import Images
from condense.images.sources import source
from sources import MODULES, ROOT, dotted
from standin import Pretended, pretend

# A machine with a GPU need not have these: what computes does without them.
ABSENT = ("pydantic", "snakemake", "diffusers", "ot", "cleanfid", "torch_fidelity", "prdc", "datasets")
BLOCK = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


@pytest.fixture(scope="module")
def without(tmp_path_factory) -> dict[str, str]:
    """Environment of processes in which those packages cannot be imported."""
    folder = tmp_path_factory.mktemp("absent")
    (folder / "sitecustomize.py").write_text(BLOCK.format(absent=ABSENT))
    places = [folder, ROOT, ROOT / "workflow", ROOT / "tests"]
    return os.environ | {"PYTHONPATH": os.pathsep.join(map(str, places)), "OMP_NUM_THREADS": "1"}


def test_what_computes_imports_without_what_plans_and_compares(without):
    modules = [dotted(path) for path in MODULES if dotted(path).count(".") and "__" not in path.name]
    kept = [name for name in modules if name.partition(".")[0] not in ("config", "plan", "reporting")]
    lines = "\n".join(f"import condense.{name}" for name in [*kept, "plan.sizes"])
    subprocess.run([sys.executable, "-c", lines], check=True, env=without)
    blocked = subprocess.run([sys.executable, "-c", "import pydantic"], env=without, capture_output=True)
    assert blocked.returncode


LACKING = (
    f"assert not {set(ABSENT)!r} & set(sys.modules)\ntry:\n    import pydantic\n    raise SystemExit(1)\n"
)
LACKING += "except ModuleNotFoundError:\n    pass"


@pytest.fixture
def device(monkeypatch) -> Iterator[Pretended]:
    with pretend(monkeypatch) as pretended:
        yield pretended


def place(folder: Path, device: str = "cpu") -> Place:
    return Place(folder, folder / "data", rehearsal=True, device=torch.device(device))


NAMES = [figure.name for figure in checks.figures(place(Path()))]
ELSEWHERE = ("stage ", "two workers")  # below, and in processes of their own


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith(ELSEWHERE)])
def test_a_check_passes_on_the_stand_in(name, device, tmp_path):
    figure = next(one for one in checks.figures(place(tmp_path, "cuda")) if one.name == name)
    assert figure.measure().value <= figure.predicted
    assert device.operations


@pytest.fixture(scope="module")
def stages(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("stages")


@pytest.mark.parametrize("label", stage_checks.OUTPUTS)
def test_a_stage_passes_its_check_on_the_stand_in(label, stages, device):
    outcome = stage_checks.check(label, stages, torch.device("cuda"))
    assert outcome.value <= stage_checks.ROUNDED.get(label, 1e-3)
    assert device.operations


def test_a_check_tells_what_differs():
    same = {"a": torch.tensor([1.0, 2.0]), "b": torch.tensor([1, 2])}
    assert difference(same, dict(same)) == 0
    assert difference(same, same | {"b": torch.tensor([1, 3])}) == torch.inf
    assert difference(same, {"a": same["a"]}) == torch.inf
    assert difference(same | {"a": torch.tensor([1.0, 2.1])}, same) == pytest.approx(0.1 / 5**0.5, rel=1e-5)


def test_a_figure_that_fails_is_told_and_the_rest_goes_on(tmp_path):
    def fail() -> Outcome:
        raise ValueError("first\nthe last line")

    figures = [
        Figure("broken", "images/s", 2.0, "", fail),
        Figure("beyond", "difference", 0.1, "", lambda: Outcome(0.2), most=True),
        Figure("whole", "images/s", 2.0, "", lambda: Outcome(1.0)),
    ]
    path = tmp_path / f"{PARTS[0].name}.json"
    work(figures, Record(path, place(tmp_path)))
    rows = json.loads(path.read_text())["figures"]
    assert (
        rows["broken"]["error"] == "ValueError: the last line" and "0.2 is above" in rows["beyond"]["error"]
    )
    text = table(PARTS, place(tmp_path))
    assert "| broken | 2 images/s | failed | | | | ValueError: the last line |" in text
    assert "| whole | 2 images/s | 1 images/s | 0.50 |" in text
    again = Record(path, place(tmp_path))
    again.forget_failures()
    assert list(again.rows) == ["whole"]


def test_the_plan_fits_the_time_that_is_lent():
    assert sum(part.minutes for part in PARTS) <= 45
    assert all(part.minutes < 8 for part in PARTS)
    documented = (ROOT / "docs" / "gpu.md").read_text()
    assert all(f"| `{part.name}` | {part.minutes:g} |" in documented for part in PARTS)


def test_a_rehearsal_of_every_part_is_green(without, tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--rehearse", "--output", tmp_path / "out"]
    done = subprocess.run(command, env=without, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    text = (tmp_path / "out" / "table.md").read_text()
    assert "failed" not in text and all(f"### {part.title}\n" in text for part in PARTS)
    again = subprocess.run(command, env=without, cwd=ROOT, capture_output=True, text=True)
    assert len(re.findall("done before", again.stdout)) == len(PARTS)


def test_a_run_without_a_gpu_says_what_to_do(without, tmp_path):
    command = [sys.executable, "-m", "benchmarks.gpu", "--output", tmp_path / "out"]
    done = subprocess.run(command, env=without, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "--rehearse" in done.stderr


def test_a_pack_holds_as_many_images_of_each_class_and_is_read_by_the_stages(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 32, 32, 3), dtype=np.uint8)
    table = packing.table_of(images, np.arange(20) % 4, ["cat", "bird", "frog", "deer"])
    for split in ("train", "test"):
        packing.write(table, tmp_path / f"{split}-00000-of-00001.parquet")
    assert packing.pack(tmp_path, tmp_path / "out", {"train": 12, "test": 4}) > 0
    settings = Images(source="parquet", root=str(tmp_path / "out" / "train.parquet"), image_column="img")
    opened = source(settings)
    assert opened.classes() == ["bird", "cat", "deer", "frog"]
    assert [len(opened.images(name)) for name in opened.classes()] == [3, 3, 3, 3]
    path, _ = opened.images("cat")[0]
    assert (np.asarray(opened.open(path)) == images[0]).all()
    with pytest.raises(InputError, match="too few"):
        packing.pack(tmp_path, tmp_path / "out", {"train": 40, "test": 4})


@pytest.mark.skipif("CONDENSE_DATA" not in os.environ, reason="CONDENSE_DATA names no folder of data")
def test_the_images_of_cifar10_fit_what_can_travel(tmp_path):
    folder = Path(os.environ["CONDENSE_DATA"]) / "cifar10"
    assert packing.pack(folder, tmp_path) <= packing.MOST
    assert packing.names_of(tmp_path / "test.parquet")[0] == "airplane"


def test_after_a_process_that_died_another_measures_the_rest(tmp_path, monkeypatch):
    where, statuses = place(tmp_path), iter([-9, 0])
    one, two = (Figure(name, "s", None, "", lambda: Outcome(1.0)) for name in ("deadly", "harmless"))

    def work(*_: object) -> int:
        record, status = runner.record_of(PARTS[0], where), next(statuses)
        record.names = [one.name, two.name]
        if status:
            record.put(one)  # begun, and no more
        else:
            record.put(two, value=1.0)
        return status

    monkeypatch.setattr(runner, "work", work)
    runner.run(PARTS[0], where, minutes=1)
    record = runner.record_of(PARTS[0], where)
    assert record.rows["deadly"]["error"] == "the process ended with -9"
    assert record.rows["harmless"]["value"] == 1 and not record.complete


def test_a_process_is_stopped_when_its_time_is_up(tmp_path):
    words = [PARTS[0].name, str(tmp_path), str(tmp_path), "toy"]
    began = time.monotonic()
    assert runner.work(words, tmp_path / "log", 0.0, rehearsal=True) is None
    assert time.monotonic() - began < 30 and not (tmp_path / f"{PARTS[0].name}.json").exists()
