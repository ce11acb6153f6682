"""The tiny study on a real SLURM of one node, through the profile as it is, also when it is stopped."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cluster import Cluster

from studies import StudyCopy

pytestmark = pytest.mark.slurm

WEIGHTS = "results/generators/sit/gadc/6/seed0.safetensors"
STATES = "results/state/train/sit/gadc/6/seed0"
SUBMITTING = ["--slurm-no-account", "--slurm-status-command", "squeue"]  # this SLURM keeps no accounts
SUBMITTING += ["--slurm-init-seconds-before-status-checks", "1", "--seconds-between-status-checks", "1"]
SUBMITTING += ["--latency-wait", "5", "--jobs", "4"]


@pytest.fixture(scope="module")
def cluster():
    """A running SLURM; the tests are skipped where it is not installed."""
    folder = Path(tempfile.mkdtemp(prefix="slurm"))  # pytest's own are too long for a socket
    made = Cluster(folder)
    if missing := made.missing():
        pytest.skip(f"SLURM is not installed here: {', '.join(missing)} (Debian: slurm-wlm and munge)")
    try:
        made.start()
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder)


def submit(study: StudyCopy, cluster: Cluster, *words: str) -> subprocess.Popen:
    """Start Snakemake on a study, its jobs on the cluster, through the profile as users have it."""
    run = [sys.executable, "-m", "snakemake", "--snakefile", str(study.repo / "Snakefile")]
    run += ["--directory", str(study.folder), "--workflow-profile", str(study.repo / "profiles/slurm")]
    return subprocess.Popen(
        [*run, *SUBMITTING, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=cluster.environment | {"OMP_NUM_THREADS": "1"},
    )


def test_slurm_gives_the_subsets_and_tables_of_one_machine(built, cluster, tmp_path):
    study = StudyCopy.create(tmp_path)
    said, _ = submit(study, cluster, "tables").communicate(timeout=600)
    assert "(100%) done" in said, said
    assert re.search(r"rule train:.*?slurm_extra=--signal=TERM@300", said, re.DOTALL), said
    assert len(study.tables()) > 12 and study.tables() == built.tables()


def limit_soon(job: str) -> list[str]:
    """Less time than the profile's warning: SLURM warns at once."""
    return ["scontrol", "update", f"JobId={job}", "TimeLimit=1"]


def limit_now(job: str) -> list[str]:
    """No time left: SLURM ends the job."""
    return ["scontrol", "update", f"JobId={job}", "EndTime=now+1"]


DISTURBANCES = {
    "its time limit, twice": ((limit_soon, "FAILED"), (limit_now, "TIMEOUT")),
    "scancel": ((lambda job: ["scancel", job], "CANCELLED"),),
    "scontrol requeue": ((lambda job: ["scontrol", "requeue", job], "PENDING"),),
}


@pytest.mark.parametrize("disturbance", DISTURBANCES)
def test_a_training_stopped_by_slurm_ends_with_the_bytes_of_an_uninterrupted_one(
    built, cluster, tmp_path, disturbance
):
    study = built.duplicate(tmp_path)
    study.configure(lambda config: config["generators"]["sit"]["training"].update(checkpoint_every=2))
    # a file `held` slows the training down, so that there is time to disturb it; no digest covers this module
    slow = '        yield item\n        if __import__("os").path.exists("held"):\n            time.sleep(2)\n'
    study.edit("base.progress", "        yield item\n", slow)
    weights, held = study.folder / WEIGHTS, study.folder / "held"
    weights.unlink()
    held.touch()
    running, step = submit(study, cluster, WEIGHTS), 0
    for stop, state in DISTURBANCES[disturbance]:
        wait(lambda before=step: saved_step(study) > before)
        job = cluster.call("squeue", "--noheader", "--states=RUNNING", "--format=%i")
        subprocess.run(stop(job), env=cluster.environment, check=True)
        wait(lambda job=job, state=state: f"JobState={state}" in cluster.call("scontrol", "show", "job", job))
        assert not weights.exists()
        step = saved_step(study)
    held.unlink()
    said, _ = running.communicate(timeout=180)
    assert running.returncode == 0, said
    assert f"going on from step {step}" in (study.folder / "logs/train/sit/gadc/6/seed0.log").read_text()
    for path in (weights, weights.with_suffix(".history.jsonl")):
        assert path.read_bytes() == (built.folder / path.relative_to(study.folder)).read_bytes()


def saved_step(study: StudyCopy) -> int:
    """Largest step among the saved states of the training."""
    return max(
        (int(path.stem[5:]) for path in (study.folder / STATES).glob("*/step_*.safetensors")), default=0
    )


def wait(happened: Callable[[], bool], seconds: int = 120) -> None:
    """Wait until something has happened."""
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.2)
