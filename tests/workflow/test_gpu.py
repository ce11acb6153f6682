"""What a GPU is to show is rehearsed: its paths on the stand-in, every part at toy size, the minutes."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import checks, stage_checks
from benchmarks.gpu.figures import Figure, Outcome, Place, Record
from benchmarks.gpu.parts import PARTS
from benchmarks.gpu.table import table
from benchmarks.gpu.work import work
from sources import MODULES, ROOT, dotted
from standin import Pretended, pretend

# A machine with a GPU need not have these: what computes does without them.
ABSENT = ("pydantic", "snakemake", "diffusers", "ot", "cleanfid", "torch_fidelity", "prdc", "datasets")
STUDIES = {"config.study", "config.crossing", "config.document", "config.names", "config.weights"}
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
    rooms = {"config", "plan", "reporting"}
    modules = [dotted(path) for path in MODULES if dotted(path).count(".") and "__" not in path.name]
    kept = [name for name in modules if name.partition(".")[0] not in rooms]
    kept += [name for name in modules if name.startswith("config.") and name not in STUDIES]
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
    assert checks.difference(same, dict(same)) == 0
    assert checks.difference(same, same | {"b": torch.tensor([1, 3])}) == torch.inf
    assert checks.difference(same, {"a": same["a"]}) == torch.inf
    assert checks.difference(same | {"a": torch.tensor([1.0, 2.1])}, same) == pytest.approx(
        0.1 / 5**0.5, rel=1e-5
    )


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
