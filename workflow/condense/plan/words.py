"""Settings and values as words of a command line, quoted for the shell."""

import shlex
from typing import Any

from condense.config.options import arguments


def as_options(*settings: Any) -> str:
    """Settings as command-line options."""
    return shlex.join(word for item in settings for word in arguments(item))


def named(**values: Any) -> str:
    """Values as command-line options of their names, repeated where a name has a list of them."""
    words = []
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            words += [f"--{name.replace('_', '-')}", str(one)]
    return shlex.join(words)


def joined(*options: str) -> str:
    """Options one after the other; there may be none."""
    return " ".join(words for words in options if words)
