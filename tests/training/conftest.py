"""A training that nothing happens to, and one that a test may disturb."""

from pathlib import Path

import pytest

from trainings import Training, write_latents


@pytest.fixture(scope="module")
def latents(tmp_path_factory) -> Path:
    return write_latents(tmp_path_factory.mktemp("latents") / "10.h5")


@pytest.fixture(scope="module")
def undisturbed(latents, tmp_path_factory) -> Training:
    """The run that nothing happens to; its last state is kept for comparison as step 40's milestone."""
    made = Training(tmp_path_factory.mktemp("undisturbed"), latents, "--milestone-every", "40")
    made.run()
    return made


@pytest.fixture
def training(latents, tmp_path) -> Training:
    return Training(tmp_path, latents, "--milestone-every", "40")
