"""Shared fixtures: one compute thread and pinned kernels, and the folder of real data where there is one."""

import os
from pathlib import Path

import pytest

from condense.base.arithmetic import prepare

prepare([])  # as every command does, before a library is imported

from studies import StudyCopy  # noqa: E402


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with `imagenette_train/` and `weights/`, named by CONDENSE_DATA, or skip the test."""
    folder = os.environ.get("CONDENSE_DATA")
    if not folder:
        pytest.skip("CONDENSE_DATA does not name a folder with imagenette_train/ and weights/")
    return Path(folder)


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> StudyCopy:
    """The tiny study, run once on two cores; tests that change anything work on a duplicate."""
    study = StudyCopy.create(tmp_path_factory.mktemp("built"))
    done = study.run()
    assert done.returncode == 0, done.stdout
    return study
