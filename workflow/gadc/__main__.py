"""`python -m gadc COMMAND`: each stage of the pipeline as a command of its own."""

import sys
from importlib import import_module

import typer

from gadc.errors import InputError, Unfinished

# command: module that defines a function of that name (dashes become underscores)
COMMANDS = {
    "index": "index",
    "encoder": "encoders",
    "embed": "embed",
    "head": "classify",
    "classify": "classify",
    "select": "select",
    "gather": "gather",
    "condition": "condition",
    "train": "train",
    "generate": "generate",
    "detect": "detect",
    "score": "score",
    "table": "tables",
    "plot-losses": "figures",
    "plot-samples": "figures",
    "report": "report",
    "show": "tables",
}


def application(wanted: str | None) -> typer.Typer:
    """Collect the commands; only the module of the wanted one is imported, so that each starts quickly."""
    app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback()(lambda: None)  # keeps the command's name required, however many are registered
    for name, module in COMMANDS.items():
        if wanted in (None, name):
            function = getattr(import_module(f"gadc.{module}"), name.replace("-", "_"))
            app.command(name)(function)
    return app


def main() -> None:
    """Run one command; a fault in the input ends with one sentence and status 1, unfinished work with 75."""
    wanted = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    try:
        application(wanted if wanted in COMMANDS else None)()
    except InputError as error:
        sys.exit(f"gadc {wanted}: {error}")
    except Unfinished as error:
        print(f"gadc {wanted}: {error}", file=sys.stderr)
        sys.exit(75)


if __name__ == "__main__":
    main()
