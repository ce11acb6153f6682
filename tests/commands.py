"""Commands of the package, called as on a command line but inside the test's process."""

from collections.abc import Callable

import typer
from typer.testing import CliRunner


def call(function: Callable, *words: object) -> str:
    """Run one command with command-line words and return what it says; its errors reach the test."""
    app = typer.Typer()
    app.command()(function)
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stderr
