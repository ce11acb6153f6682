"""What goes wrong, said in one sentence."""

from pathlib import Path

AGAIN = "if the pipeline made it, delete it and run again"  # nobody is to delete what we did not make


class InputError(Exception):
    """Bad input or setting; the text is one sentence: which file or key, and what to do. Exit status 1."""


class Unfinished(Exception):
    """Work stopped early with its state saved; running the same command again goes on. Exit status 75."""


def damaged(path: Path, what: str, error: object) -> InputError:
    """The fault of a file that cannot be read as `what`."""
    reason = (str(error).splitlines() or ["nothing more is known"])[0]
    return InputError(f"{path} is not {what} ({reason}): {AGAIN}.")


def unusable(error: OSError) -> str:
    """The sentence of a file that the system refuses."""
    return f"{error.filename} cannot be used ({error.strerror}); correct the path, or its rights."
