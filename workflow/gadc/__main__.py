"""`python -m gadc COMMAND`: each stage of the pipeline as a command of its own."""

import os
import sys
from importlib import import_module

# command: module that defines a function of that name (dashes become underscores)
COMMANDS = {
    "index": "index",
    "merge-index": "merge",
    "encoder": "encoders",
    "embed": "embed",
    "head": "classify",
    "classify": "classify",
    "margins": "margins",
    "import-checkpoint": "checkpoints",
    "difficulty": "difficulty",
    "select": "select",
    "merge-subset": "merge",
    "export": "export",
    "moments": "measure",
    "measure": "measure",
    "merge-measures": "merge",
    "plot-chosen": "portraits",
    "plot-map": "portraits",
    "condition": "condition",
    "captions": "captions",
    "patches": "patches",
    "train": "train",
    "generate": "generate",
    "merge-samples": "generate",
    "export-generator": "checkpoints",
    "fetch-inception": "detect",
    "reference": "detect",
    "reference-batch": "image_sets",
    "detect": "detect",
    "score": "score",
    "table": "tables",
    "tabulate": "projection",
    "plot-samples": "figures",
    "plot-pairs": "pairs",
    "plot-losses": "figures",
    "plot-methods": "figures",
    "plot-table": "curves",
    "plot-objective": "curves",
    "plot-distances": "curves",
    "pack-report": "report",
    "provenance": "provenance",
    "card": "card",
    "show": "tables",
    "estimate": "estimate",
}


def limit_threads(words: list[str]) -> list[str]:
    """Obey a leading `--threads N`, before any library counts the cores; return the other words."""
    if len(words) > 1 and words[0] == "--threads":
        for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
            os.environ[name] = words[1]
        return words[2:]
    return words


def main() -> None:
    """Run one command; a fault in the input ends with one sentence and status 1, unfinished work with 75."""
    words = limit_threads(sys.argv[1:])
    import typer

    from gadc.errors import InputError, Unfinished

    wanted = words[0] if words and words[0] in COMMANDS else None
    app = typer.Typer(
        name="gadc",
        help="Stages of gadc. `--threads N` before the command fixes the number of compute threads.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # keeps the command's name required, however many are registered
    for name, module in COMMANDS.items():
        if wanted in (None, name):  # only the wanted command's module is imported: each starts quickly
            app.command(name)(getattr(import_module(f"gadc.{module}"), name.replace("-", "_")))
    try:
        app(words)
    except InputError as error:
        sys.exit(f"gadc {wanted}: {error}")
    except Unfinished as error:
        print(f"gadc {wanted}: {error}", file=sys.stderr)
        sys.exit(75)


if __name__ == "__main__":
    main()
