"""Shared fixtures: one compute thread and pinned kernels, and the folder of real data where there is one."""

import os
from pathlib import Path
from shutil import rmtree

import pytest
from filelock import FileLock

from condense.base.arithmetic import prepare

prepare([])  # as every command does, before a library is imported

from studies import TOKEN, StudyCopy  # noqa: E402, after `prepare`


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with `imagenette_train/` and `weights/`, named by CONDENSE_DATA, or skip the test."""
    folder = os.environ.get("CONDENSE_DATA")
    if not folder:
        pytest.skip("CONDENSE_DATA does not name a folder with imagenette_train/ and weights/")
    return Path(folder)


@pytest.fixture(scope="session")
def built(tmp_path_factory, worker_id) -> StudyCopy:
    """The tiny study, run by the first of pytest's workers that asks; what changes it duplicates it."""
    shared = tmp_path_factory.getbasetemp()
    root = (shared if worker_id == "master" else shared.parent) / "built"
    with FileLock(root.with_suffix(".lock")):
        if not (root / "output.txt").exists():  # written when the run has ended well
            rmtree(root, ignore_errors=True)
            done = StudyCopy.create(root).run(HF_TOKEN=TOKEN)
            assert done.returncode == 0, done.stdout
            (root / "output.txt").write_text(done.stdout)
        return StudyCopy(root / "repo", root / "study")
