"""A folder in use is refused by one sentence, and free again however its user ended."""

import errno
import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import condense
from condense.base.errors import InputError
from condense.base.storage import locked

HOLD = """
import sys, time
from pathlib import Path
from condense.base.storage import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that keeps a folder."""
    path = {"PYTHONPATH": str(Path(condense.__file__).parents[1])}
    words = [sys.executable, "-c", HOLD, str(tmp_path / "state")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, env=os.environ | path)
    assert process.stdout.readline() == b"held\n"
    yield process
    process.kill()
    process.communicate()


def test_a_folder_in_use_is_refused_by_the_name_of_its_user_until_that_is_killed(tmp_path, holder):
    sentence = rf"state is in use by process {holder.pid} on \S+: wait until that ends, or stop it"
    with pytest.raises(InputError, match=sentence), locked(tmp_path / "state"):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    with locked(tmp_path / "state"):
        assert (tmp_path / "state.lock").read_text().startswith(f"process {os.getpid()} on ")


def test_a_folder_is_free_after_a_fault_and_other_folders_are_free_meanwhile(tmp_path):
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "deep" / "state"):
        raise ZeroDivisionError
    with locked(tmp_path / "deep" / "state"), locked(tmp_path / "deep" / "other"):
        pass


def test_a_file_system_without_locks_is_said_and_used(tmp_path, monkeypatch, capsys):
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "state"):
        pass
    assert "cannot be locked (Function not implemented)" in capsys.readouterr().err


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "state.lock").mkdir()
    sentence = r"state\.lock could not be written \(Is a directory\)"
    with pytest.raises(InputError, match=sentence), locked(tmp_path / "state"):
        pass
