"""The newest logs are shown with their last lines; a run that goes on says what it said before."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer import Typer
from typer.testing import CliRunner

from condense.base.errors import InputError
from condense.base.progress import JOURNAL, keep_journal, say
from condense.reporting.watch import last_lines, watch


def log(path: Path, text: str, age: float) -> Path:
    """A log that was last written so long before time 10,000."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, (10_000 - age,) * 2)
    return path


def test_the_newest_logs_come_last_each_with_the_last_line_that_says_anything(tmp_path: Path) -> None:
    log(tmp_path / "train/gadc/seed0.log", "step 50: loss 1\nstep 100: loss 0.5\n\n", 3)
    log(tmp_path / "index.log", "", 130)
    log(tmp_path / "embed/a.log", "a bar 10%\ra bar 20%\r", 7300)
    log(tmp_path / "old.log", "done", 9000)
    assert [*last_lines(tmp_path, 3, 10_000)] == [
        f"  2 h   ago  {tmp_path}/embed/a.log: a bar 20%",
        f"  2 min ago  {tmp_path}/index.log: nothing said yet",
        f"  3 s   ago  {tmp_path}/train/gadc/seed0.log: step 100: loss 0.5",
    ]


def test_it_looks_once_or_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = Typer()
    app.command()(watch)
    found = CliRunner().invoke(app, ["--once"])
    assert isinstance(found.exception, InputError) and "go to a study's folder" in str(found.exception)
    (tmp_path / "logs").mkdir()
    assert CliRunner().invoke(app, ["--once"]).output == "no log in logs yet\n"
    (tmp_path / "logs/a.log").write_text("half way\n")
    assert CliRunner().invoke(app, ["--once"]).output.endswith("logs/a.log: half way\n")


def test_a_run_that_goes_on_says_again_what_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setenv(JOURNAL, "")
    keep_journal(tmp_path / "state/seed0.log")
    say("step 1")
    assert capsys.readouterr().err == "step 1\n"
    keep_journal(tmp_path / "state/seed0.log")
    assert not capsys.readouterr().err, "said by the run that started this worker"
    monkeypatch.setenv(JOURNAL, "")
    monkeypatch.setenv("RANK", "1")
    keep_journal(tmp_path / "state/seed0.log")
    assert not capsys.readouterr().err, "said by the first worker"
    monkeypatch.setenv(JOURNAL, "")
    monkeypatch.setenv("RANK", "0")
    keep_journal(tmp_path / "state/seed0.log")
    say("step 2")
    assert capsys.readouterr().err == "step 1\nstep 2\n"
    monkeypatch.setenv(JOURNAL, str(tmp_path))  # a folder: nothing can be kept, and the work goes on
    say("step 3")


def test_what_was_said_is_kept_until_the_command_ends_well(tmp_path: Path) -> None:
    state = tmp_path / "state"
    words = ["embed", "--source", "digits", "--output", str(tmp_path / "x.h5"), "--state", str(state)]
    state.with_name("state.log").write_text("said before\n")
    done = subprocess.run(
        [sys.executable, "-m", "condense", *words, "--index", "none.csv", "--encoder", "none.safetensors"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and done.stderr.startswith("said before\n"), done.stderr
    assert state.with_name("state.log").read_text() == "said before\n"
