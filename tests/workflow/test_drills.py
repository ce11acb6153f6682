"""Snakemake and its jobs are killed in every stage and run again: nothing is lost, every byte is the same."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from studies import StudyCopy

RUN = "sit/gadc/6/seed0"
STAGES = {  # from the last to the first, so that what one drill makes anew is older than what was made of it
    "tables": "fid_6.csv",
    "score": f"scores/{RUN}.csv",
    "detect": f"features/{RUN}.h5",
    "generate": f"samples/{RUN}/1-of-2.npz",
    "train": f"generators/{RUN}.safetensors",
    "latents": "latents/pixels/8/gadc/6.h5",
    "reference": "references/8/2-of-2.h5",
    "merge_subset": "subsets/gadc/6.csv",
    "select": "selections/gadc/6/1-of-2.csv",
    "classify": "probabilities/net/1-of-2.h5",
    "embed": "embeddings/net/1-of-2.h5",
    "encoder": "encoders/net.safetensors",
    "merge_index": "index.csv",
    "index": "index/1-of-2.csv",
}
TERMINATED = ("generate", "select", "embed")
WORDS = {signal.SIGKILL: ["--nolock"], signal.SIGTERM: []}  # at SIGTERM Snakemake takes its lock away
DRILLS = [
    (stage, number) for stage in STAGES for number in WORDS if number == signal.SIGKILL or stage in TERMINATED
]


@pytest.fixture(scope="module")
def study(built, tmp_path_factory) -> StudyCopy:
    """The tiny study, whose jobs wait before they give a file its name while a file `held` is there."""
    study = built.duplicate(tmp_path_factory.mktemp("drills"))
    wait = 'while Path("held").exists():\n            __import__("time").sleep(0.05)\n        '
    study.edit("base.storage", "beside.replace(path)", wait + "beside.replace(path)")
    return study


def start(study: StudyCopy, target: Path, *words: str) -> tuple[subprocess.Popen, Path]:
    """Start Snakemake on a target; return when a job has written a file that has no name yet."""
    (study.folder / "held").touch()
    before = set((study.folder / "results").rglob(".*.part"))
    process = subprocess.Popen(
        study.command(str(target), *words),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    until = time.monotonic() + 120
    while not (left := set((study.folder / "results").rglob(".*.part")) - before):
        assert process.poll() is None and time.monotonic() < until, "the job did not write"
        time.sleep(0.05)
    return process, left.pop()


def end(study: StudyCopy, process: subprocess.Popen, number: int) -> None:
    """Send a signal to Snakemake and all its jobs, and let nothing be held any more."""
    os.killpg(process.pid, number)
    assert process.wait(60) != 0
    (study.folder / "held").unlink()


@pytest.mark.parametrize(("stage", "number"), DRILLS, ids=lambda item: getattr(item, "name", item))
def test_killed_in_any_stage_a_second_run_ends_with_the_same_bytes(study, stage, number):
    target = Path("results") / STAGES[stage]
    file = study.folder / target
    if not file.exists():  # the parts of the samples are gone after use
        assert study.run(str(target)).returncode == 0
    before = file.read_bytes()
    file.unlink()
    process, part = start(study, target, *WORDS[number])
    assert not file.exists()
    end(study, process, number)
    assert not file.exists() and part.exists()
    done = study.run(str(target), *WORDS[number])
    assert done.returncode == 0, done.stdout
    assert file.read_bytes() == before and not part.exists()


def test_a_killed_job_fails_its_run_and_leaves_no_output(study):
    file = study.folder / "results/subsets/gadc/6.csv"
    before = file.read_bytes()
    file.unlink()
    process, part = start(study, file.relative_to(study.folder), "--nolock")
    os.kill(int(part.name.split(".")[-2]), signal.SIGKILL)  # the part is named by the job's process
    assert process.wait(60) != 0 and not file.exists()
    (study.folder / "held").unlink()
    assert study.run("results/subsets/gadc/6.csv", "--nolock").returncode == 0
    assert file.read_bytes() == before


def test_a_second_snakemake_is_refused_and_so_is_the_next_until_a_stale_lock_is_removed(study):
    file = study.folder / "results/fid_6.csv"
    file.unlink()
    process, _ = start(study, Path("results/fid_6.csv"))
    second = study.run("results/fid_6.csv")
    assert second.returncode != 0 and "cannot be locked" in second.stdout and "--unlock" in second.stdout
    assert process.poll() is None
    end(study, process, signal.SIGKILL)
    third = study.run("results/fid_6.csv")
    assert third.returncode != 0 and "--unlock" in third.stdout and not file.exists()
    assert study.run("--unlock").returncode == 0
    assert study.run("results/fid_6.csv").returncode == 0 and file.exists()


@pytest.mark.parametrize("stage", ["train", "embed", "reference"])
def test_orphans_of_a_killed_snakemake_keep_their_states_to_themselves(study, stage):
    target = Path("results") / STAGES[stage]
    file = study.folder / target
    before = file.read_bytes()
    file.unlink()
    process, part = start(study, target)
    orphan = int(part.name.split(".")[-2])
    process.kill()
    process.wait(60)
    assert study.run("--unlock").returncode == 0
    second = study.run(str(target))
    assert second.returncode != 0 and f"is in use by process {orphan} on " in second.stdout
    assert part.exists() and not file.exists()
    if stage == "train":
        outlive(study, file)
    else:
        os.kill(orphan, signal.SIGKILL)
        (study.folder / "held").unlink()
        done = study.run(str(target))
        assert done.returncode == 0, done.stdout
    assert file.read_bytes() == before and not part.exists()


def outlive(study: StudyCopy, file: Path) -> None:
    """Let an orphaned training end, and its results stay."""
    (study.folder / "held").unlink()
    until = time.monotonic() + 120
    while not file.exists():
        assert time.monotonic() < until, "the orphan did not end"
        time.sleep(0.05)
    target = str(file.relative_to(study.folder))
    if planned := study.planned(target):  # what a killed Snakemake began counts as half-written
        assert planned == {"train": 1}
        outputs = [file, file.with_suffix(".history.jsonl"), file.with_suffix(".milestones")]
        assert study.run("--cleanup-metadata", *map(str, outputs)).returncode == 0
    assert study.planned(target) == {}
