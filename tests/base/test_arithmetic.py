"""Arithmetic is pinned before any library is imported, and replaces what cannot be pinned."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from condense.base.arithmetic import PINNED, log_sum_exp, logarithm, prepare, square_root
from condense.base.errors import InputError

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Leave the environment as it was."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def test_a_command_has_one_thread_and_pinned_kernels_unless_told_otherwise():
    assert prepare(["select", "--threads", "7"]) == ["select", "--threads", "7"]
    assert os.environ["OMP_NUM_THREADS"] == "1" and os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    assert {name: os.environ[name] for name in PINNED} == PINNED


def test_leading_words_choose_threads_and_kernels(monkeypatch):
    for name in PINNED:
        monkeypatch.delenv(name, raising=False)
    assert prepare(["--threads", "2", "--arithmetic", "native", "train"]) == ["train"]
    assert os.environ["MKL_NUM_THREADS"] == "2" and not set(PINNED) & set(os.environ)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--threads", "two", "train"], "--threads two must be a whole number"),
        (["--threads", "0", "train"], "--threads 0 must be a whole number"),
        (["--arithmetic", "fast", "train"], "--arithmetic fast must be pinned or native"),
    ],
)
def test_other_words_are_one_sentence(words, message):
    with pytest.raises(InputError, match=message):
        prepare(words)


def test_a_command_runs_with_them():
    told = "import os, runpy, sys; sys.argv = ['condense', '--threads', '2', 'show']\n"
    told += "try: runpy.run_module('condense', run_name='__main__')\nexcept SystemExit: pass\n"
    told += "import torch; print(torch.backends.cpu.get_cpu_capability(), torch.get_num_threads())"
    environment = {"PYTHONPATH": str(ROOT / "workflow"), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", told], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["AVX2", "2"], done.stderr


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_functions_that_cannot_be_pinned_are_replaced_to_within_rounding(dtype):
    values = torch.rand(20_000, dtype=dtype, generator=torch.Generator().manual_seed(0)) * 3
    values[:3] = torch.tensor([0.0, 1.0, 4.0])
    step = torch.finfo(dtype).eps
    exact = np.sqrt(values.double().numpy())
    assert (np.abs(square_root(values).double().numpy() - exact) <= 2 * step * exact).all()
    exact = np.log(values[1:].double().numpy())
    assert np.abs(logarithm(values[1:]).double().numpy() - exact).max() <= 16 * step
    rows = values.reshape(200, 100)
    torch.testing.assert_close(log_sum_exp(rows, 1), torch.logsumexp(rows, 1), rtol=4 * step, atol=0)
    torch.testing.assert_close(
        log_sum_exp(rows, 0, keepdim=True), torch.logsumexp(rows, 0, keepdim=True), rtol=4 * step, atol=0
    )
