"""What goes wrong, said in one sentence."""


class InputError(Exception):
    """Bad input or setting; the text is one sentence: which file or key, and what to do. Exit status 1."""


class Unfinished(Exception):
    """Work stopped early with its state saved; running the same command again goes on. Exit status 75."""
