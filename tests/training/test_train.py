"""A training that is killed, damaged or out of disk goes on to the same bytes, or says why not."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from commands import call
from condense import __main__
from condense.base.errors import InputError, Unfinished
from condense.base.storage import locked
from condense.training import state
from condense.training.train import train
from trainings import Training, assert_close, write_latents

KILL = "os.kill(os.getpid(), signal.SIGKILL)"
AFTER_A_SAVE = f"""
def save(*given, save=state.save):
    save(*given)
    {KILL}
state.save = save"""
IN_A_SAVE = f"""
def fsync(file, seen=[]):
    seen.append(file)
    if len(seen) == 2:
        {KILL}
storage.os.fsync = fsync"""


@pytest.mark.parametrize("prelude", [AFTER_A_SAVE, IN_A_SAVE], ids=["after a save", "in the second save"])
def test_a_killed_run_ends_with_the_bytes_of_an_undisturbed_one(training, undisturbed, prelude):
    process = training.spawn(prelude)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert training.saved() == [20] and not training.weights.exists()
    assert "going on from step 20 of 40" in training.run()
    assert training.bytes() == undisturbed.bytes()
    assert training.newest().read_bytes() == undisturbed.newest().read_bytes()  # optimiser and all
    assert not list(training.states.rglob("*.part"))


def test_the_last_state_differs_from_the_first_saved(training, undisturbed):
    with pytest.raises(Unfinished):
        call(train, *training.words, "--minutes", "0")
    one, forty = load_file(training.newest()), load_file(undisturbed.newest())
    assert all(not torch.equal(one[name], forty[name]) for name in one if name.startswith("exp_avg_sq."))


def test_a_damaged_newest_state_is_said_and_the_one_before_is_taken(training, undisturbed):
    shutil.copytree(undisturbed.states, training.states)
    damaged = training.newest()
    shorter = Training(training.folder / "short", *training.words[1:2], "--milestone-every", "20")
    shorter.run()
    early = min(shorter.states.glob("*/step_*.safetensors"))
    early.rename(damaged.with_name(early.name))
    damaged.write_bytes(damaged.read_bytes()[:-9])
    said = training.run()
    assert damaged.name in said and "The state before it is taken." in said
    assert "going on from step 20 of 40" in said
    assert training.bytes() == undisturbed.bytes()


def test_a_finished_run_keeps_its_milestones_alone(latents, tmp_path, undisturbed):
    assert undisturbed.saved() == [40]
    plain = Training(tmp_path, latents)
    plain.run()
    assert plain.saved() == []
    assert plain.bytes() == undisturbed.bytes()


def test_a_milestone_is_the_generator_that_a_training_of_so_many_steps_yields(latents, tmp_path, undisturbed):
    folder = tmp_path / "milestones"
    longer = Training(tmp_path / "longer", latents, "--milestone-every", "20", "--milestones", str(folder))
    shorter = Training(tmp_path / "shorter", latents, "--steps", "20")
    longer.run()
    shorter.run()
    assert [path.name for path in sorted(folder.iterdir())] == [
        "step_000000020.safetensors",
        "step_000000040.safetensors",
    ]
    assert (folder / "step_000000020.safetensors").read_bytes() == shorter.weights.read_bytes()
    assert (folder / "step_000000040.safetensors").read_bytes() == undisturbed.weights.read_bytes()


def test_a_full_disk_keeps_the_state_before_and_names_the_path(training, undisturbed):
    with pytest.raises(Unfinished):
        call(train, *training.words, "--minutes", "0")
    (first,) = training.saved()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (training.newest().stat().st_size // 2, hard))
    try:
        with pytest.raises(InputError, match=r"step_0*20\.safetensors could not be written .* free space"):
            training.run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert training.saved() == [first]
    training.run()
    assert training.bytes() == undisturbed.bytes()


def test_a_full_file_system_keeps_the_state_before(latents, tmp_path, undisturbed):
    disk = tmp_path / "disk"
    disk.mkdir()
    size = undisturbed.newest().stat().st_size * 3 // 2  # one state fits, a second does not
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a tmpfs may not be mounted here")
    try:
        training = Training(tmp_path, latents)
        training.words += ["--state-folder", str(disk)]
        with pytest.raises(InputError, match=r"step_0*40\.safetensors could not be written .*: free space"):
            training.run()
        assert [path.name for path in disk.glob("*/*")] == ["step_000000020.safetensors"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.parametrize(
    ("options", "named"), [(["--learning-rate", "0.1"], "training.learning_rate"), (["--seed", "1"], "seed")]
)
def test_the_state_of_another_run_is_refused_by_name(training, undisturbed, options, named):
    shutil.copytree(undisturbed.states, training.states)
    other = Training(training.folder / "other", Path(training.words[1]), *options)
    other.words += ["--state-folder", str(training.states)]
    said = call(train, *other.words)
    assert f"states of another run (other {named})" in said and "going on" not in said
    theirs = training.newest()
    with pytest.raises(InputError, match=f"another run .other {named}"):
        state.newest(theirs.parent, state.identity(theirs) | {named: "another"})


def test_the_state_of_another_subset_is_refused_by_name(training, undisturbed, tmp_path):
    shutil.copytree(undisturbed.states, training.states)
    training.words[1] = str(write_latents(tmp_path / "other.h5", 9))
    assert "states of another run (other latents)" in training.run()


def test_a_loss_that_is_not_finite_stops_with_step_seed_and_images_and_saves_nothing(training):
    with h5py.File(training.folder / "bad.h5", "w") as bad, h5py.File(training.words[1]) as good:
        for name in good:
            good.copy(name, bad)
        bad.attrs["classes"] = 3
        bad["mean"][7] = np.inf
    training.words[1] = str(training.folder / "bad.h5")
    with pytest.raises(InputError, match=r"step [12] \(seed 0\).*c/07\.png"):
        training.run()
    assert training.saved() == [] and not training.weights.exists()


def test_a_run_out_of_time_leaves_with_status_75_and_goes_on(training, undisturbed, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["condense", "train", *training.words, "--minutes", "0"])
    with pytest.raises(SystemExit) as left:
        __main__.main()
    assert left.value.code == 75 and "stopped after step 1 of 40" in capsys.readouterr().err
    assert training.saved() == [1]
    assert "going on from step 1 of 40" in training.run()
    assert training.bytes() == undisturbed.bytes()


def test_a_terminated_run_saves_its_state_and_leaves_with_status_75(training, undisturbed):
    process = training.spawn(
        "from condense.training import trainer\n"
        "def advance(self, advance=trainer.Trainer.advance):\n"
        "    advance(self)\n"
        "    if self.step == 7: os.kill(os.getpid(), signal.SIGTERM)\n"
        "trainer.Trainer.advance = advance"
    )
    _, said = process.communicate(timeout=120)
    assert process.returncode == 75 and "stopped after step 7 of 40" in said
    training.run()
    assert training.bytes() == undisturbed.bytes()


def test_a_second_training_on_the_same_states_is_refused_and_changes_nothing(training, undisturbed):
    with pytest.raises(Unfinished):
        call(train, *training.words, "--minutes", "0")
    before = training.newest().read_bytes()
    sentence = rf"{training.states} is in use by process {os.getpid()} on \S+: wait"
    with locked(training.states), pytest.raises(InputError, match=sentence):
        training.run()
    assert training.newest().read_bytes() == before and not training.weights.exists()
    training.run()
    assert training.bytes() == undisturbed.bytes()


def test_the_log_tells_pace_memory_and_how_much_of_the_random_start_is_left(latents, tmp_path):
    said = Training(tmp_path, latents, "--ema", "0.99").run()
    assert "images/s" in said and "MiB" in said
    assert "keeps 67% of the random start; set training.ema_warmup" in said


def test_tensorboard_gets_each_step_once_though_interrupted(training):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    board = ["--tensorboard", str(training.folder / "board")]
    with pytest.raises(Unfinished):
        call(train, *training.words, *board, "--minutes", "0")
    call(train, *training.words, *board)
    curves = EventAccumulator(str(training.folder / "board")).Reload()
    assert [point.step for point in curves.Scalars("loss")] == list(range(1, 41))


def test_the_history_has_one_row_per_step(undisturbed):
    rows = [json.loads(line) for line in undisturbed.history.read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 41))
    assert set(rows[0]) == {"step", "loss", "gradient_norm", "learning_rate"}


def test_parts_of_a_batch_give_the_gradient_of_the_whole(latents, tmp_path, undisturbed):
    parts = Training(tmp_path, latents, "--microbatch", "3", "--milestone-every", "40")
    parts.run()
    assert_close(parts, undisturbed)
