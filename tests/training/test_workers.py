"""Several processes of one training: they train as one, leave together, and take up one state."""

import os
import re
import shlex
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import call
from condense.base.errors import Unfinished
from condense.base.storage import locked
from condense.training.train import train
from trainings import ROOT, Training, assert_close, write_latents

PREPARED = """
import os, time
from pathlib import Path
def fsync(file, real=os.fsync):
    if not os.path.exists("{folder}/saving"):
        Path("{folder}/saving").touch()
        {first}
    real(file)
os.fsync = fsync
"""
SLOWLY, KILLED = "time.sleep(3)", "time.sleep(1); os.kill(os.getpid(), 9)"
IMPATIENT = {"TORCH_ELASTIC_SHUTDOWN_TIMEOUT": "1"}  # seconds, unless the launcher is told another number


@pytest.fixture
def pair(latents, tmp_path) -> Training:
    """A training by two workers."""
    return Training(tmp_path, latents, "--milestone-every", "40", "--workers", "2")


def saving(folder: Path, first: str, program: str = "") -> dict[str, str]:
    """Environment in which a process that writes its first file makes a file `saving`, then does something.

    Every process of Python begins with a program of the name that is written here.
    """
    prepared = PREPARED.format(folder=folder, first=first) + program
    (folder / "sitecustomize.py").write_text(prepared)
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(ROOT / "workflow")]), "OMP_NUM_THREADS": "1"}


def wait_for(path: Path) -> None:
    """Wait until a file is there."""
    until = time.monotonic() + 120
    while not path.exists():
        assert time.monotonic() < until, f"{path} was not made"
        time.sleep(0.05)


def ended(*processes: subprocess.Popen) -> list[tuple[int, str]]:
    """Status of each process at its end, and what it has said."""
    try:
        said = [process.communicate(timeout=240)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def free_port() -> int:
    """A port that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def test_two_workers_train_as_one_and_go_on_after_running_out_of_time(pair, undisturbed):
    pair.words += ["--microbatch", "2", "--minutes", "0"]
    ((status, said),) = ended(pair.spawn(**saving(pair.folder, SLOWLY, counted(pair))))
    assert status == 75, said
    assert pair.saved() == [1]
    # both left when the state was on disk: the launcher kills the others 30 s after the first has left
    assert [(pair.folder / f"left{rank}").read_text() for rank in range(2)] == ["1", "1"]
    del pair.words[-2:]
    ((status, said),) = ended(pair.spawn())
    assert status == 0, said
    assert said.count("going on from step 1 of 40") == 1
    assert_close(pair, undisturbed)


def counted(pair: Training) -> str:
    """Program by which each worker notes how many states there are when it leaves."""
    note = f"Path('{pair.folder}/left' + os.environ['RANK'])"
    count = f"str(len(list(Path('{pair.states}').glob('*/step_*.safetensors'))))"
    return f"if 'RANK' in os.environ: __import__('atexit').register(lambda: {note}.write_text({count}))\n"


def test_stopped_workers_are_given_the_time_that_a_save_takes(pair):
    process = pair.spawn(**saving(pair.folder, SLOWLY), **IMPATIENT)
    wait_for(pair.folder / "saving")
    process.terminate()
    ((status, said),) = ended(process)
    assert status == 75, said
    last = said.strip().splitlines()[-1]
    assert Path(re.search(r"the state is in (\S+), run again to go on", last)[1]) == pair.newest()
    assert pair.saved() == [21, 20]


def test_a_save_is_claimed_only_where_there_is_one(pair):
    process = pair.spawn(**saving(pair.folder, KILLED))
    wait_for(pair.folder / "saving")
    process.terminate()
    ((status, said),) = ended(process)
    assert status == 1 and pair.saved() == []
    assert said.strip().splitlines()[-1].endswith("stopped before a state was saved; run again.")


def test_workers_that_are_stopped_at_their_end_have_ended(pair):
    pair.words += ["--steps", "20"]
    process = pair.spawn(**saving(pair.folder, SLOWLY))
    wait_for(pair.folder / "saving")
    process.terminate()
    ((status, said),) = ended(process)
    assert status == 0, said
    assert pair.weights.exists() and pair.history.exists() and pair.saved() == []


def ranks(*trainings: Training) -> list[tuple[int, str]]:
    """How the workers of one training end, each of which is given its own files."""
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(len(trainings))}
    return ended(*[made.spawn(RANK=str(rank), **place) for rank, made in enumerate(trainings)])


def test_a_second_training_by_workers_is_refused_by_all_of_them(training):
    with locked(training.states):
        left = ranks(training, training)
    assert [status for status, _ in left] == [1, 1], left
    assert all(f"{training.states} is in use by process {os.getpid()}" in said for _, said in left)


@pytest.mark.parametrize("sees", [0, 1])
def test_workers_go_on_from_the_state_that_the_first_sees(latents, tmp_path, undisturbed, sees):
    pair = [Training(tmp_path / str(rank), latents, "--milestone-every", "40") for rank in range(2)]
    with pytest.raises(Unfinished):
        call(train, *pair[sees].words, "--minutes", "0")
    left = ranks(*pair)
    assert [status for status, _ in left] == [0, 0], left
    assert ("going on from step 1 of 40" in left[0][1]) == (sees == 0)
    assert_close(pair[0], undisturbed)
    assert not pair[1].weights.exists()


def test_workers_that_read_different_files_refuse_to_train(latents, tmp_path):
    other = write_latents(tmp_path / "other.h5", 9)
    left = ranks(Training(tmp_path / "one", latents), Training(tmp_path / "two", other))
    assert [status for status, _ in left] == [1, 1], left
    assert all("the workers read different latents" in said for _, said in left)


def test_two_machines_train_as_one_by_the_documented_command_also_when_stopped(
    latents, tmp_path, undisturbed
):
    pair = Training(tmp_path, latents, "--milestone-every", "40")
    page = (ROOT / "docs" / "cluster.md").read_text()
    options = shlex.split(re.search(r"srun torchrun (.*) -m condense train", page)[1])
    here = {"--nnodes": "2", "--nproc-per-node": "1", "--rdzv-endpoint": f"127.0.0.1:{free_port()}"}
    options = [option for option in options if option.split("=")[0] not in here]
    run = [sys.executable, "-m", "torch.distributed.run", *(f"{key}={here[key]}" for key in here), *options]
    run += ["-m", "condense", "train", *pair.words]

    def start(**environment: str) -> list[subprocess.Popen]:
        return [
            subprocess.Popen(run, env=os.environ | environment, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]

    machines = start(**saving(tmp_path, SLOWLY), **IMPATIENT)
    wait_for(tmp_path / "saving")
    for machine in machines:
        machine.terminate()
    ended(*machines)
    assert pair.saved() == [21, 20]
    left = ended(*start(**saving(tmp_path, SLOWLY)))
    assert [status for status, _ in left] == [0, 0], left
    assert_close(pair, undisturbed)
