"""`python -m condense COMMAND`: each stage of the pipeline as a command of its own."""

import gc
import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path

from condense.base.arithmetic import prepare
from condense.base.errors import InputError, Unfinished, unusable

# command: module that defines a function of that name (dashes become underscores)
COMMANDS = {
    "index": "images.index",
    "merge-index": "images.index",
    "validation-index": "images.index",
    "encoder": "encoders.encoder",
    "embed": "encoders.embed",
    "embed-validation": "encoders.embed",
    "head": "encoders.classify",
    "classify": "encoders.classify",
    "margins": "selection.margins",
    "import-checkpoint": "diffusion.checkpoints",
    "difficulty": "selection.difficulty",
    "select": "selection.select",
    "merge-subset": "images.subset",
    "export": "selection.export",
    "cluster": "selection.cluster",
    "moments": "selection.measure",
    "measure": "selection.measure",
    "merge-measures": "selection.measure",
    "appraise": "selection.appraise",
    "plot-chosen": "reporting.portraits",
    "plot-map": "reporting.portraits",
    "latents": "training.latents",
    "captions": "training.captions",
    "patches": "training.patches",
    "train": "training.train",
    "finetune": "training.finetune",
    "generate": "diffusion.generate",
    "merge-samples": "diffusion.generate",
    "export-generator": "diffusion.checkpoints",
    "synthesise": "synthesis.synthesise",
    "confusion": "synthesis.confusion",
    "dope": "synthesis.doping",
    "dope-trigger": "synthesis.dope_trigger",
    "occupancy": "synthesis.occupancy",
    "choose-groups": "synthesis.choose_groups",
    "fetch-inception": "scoring.detect",
    "reference": "scoring.detect",
    "reference-batch": "scoring.image_sets",
    "detect": "scoring.detect",
    "score": "scoring.score",
    "relabel": "students.relabel",
    "learn": "students.learn",
    "examine": "students.examine",
    "accuracies": "reporting.comparisons",
    "table": "reporting.comparisons",
    "tabulate": "reporting.projection",
    "agreement": "reporting.agreement",
    "plot-samples": "reporting.grids",
    "plot-pairs": "reporting.pairs",
    "plot-losses": "reporting.grids",
    "plot-methods": "reporting.grids",
    "plot-table": "reporting.curves",
    "plot-grid": "reporting.grid_picture",
    "plot-objective": "reporting.curves",
    "plot-distances": "reporting.curves",
    "plot-learning": "reporting.classifiers",
    "plot-occupancy": "reporting.cells",
    "plot-confusion": "reporting.classifiers",
    "pack-report": "reporting.report",
    "provenance": "reporting.provenance",
    "card": "reporting.card",
    "show": "reporting.comparisons",
    "watch": "reporting.watch",
    "estimate": "plan.estimate",
    "init": "plan.first_study",
    "run": "plan.first_study",
    "schema": "config.document",
    "settings-page": "config.settings_page",
    "record-config": "config.document",
}


STATES = ("--state", "--state-folder")  # name what an interrupted run goes on from
PASSED_ON = {"run": {"ignore_unknown_options": True, "allow_interspersed_args": False}}  # to Snakemake


def main() -> None:
    """Run one command; a fault in the input ends with one sentence and status 1, unfinished work with 75."""
    try:
        words = prepare(sys.argv[1:])
    except InputError as error:
        sys.exit(f"condense: {error}")
    gc.disable()  # imports leave no garbage; looking for it took a third of a short command's time
    import typer

    wanted = words[0] if words and words[0] in COMMANDS else None
    app = typer.Typer(
        name="condense",
        help="Stages of condense. Before the command: `--threads N` (1 when left out) fixes the number of "
        "compute threads; `--arithmetic native` gives up equal bits on all machines for each machine's own "
        "kernels.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
    )
    app.callback()(lambda: None)  # keeps the command's name required, however many are registered
    for name, module in COMMANDS.items():
        if wanted in (None, name):  # only the wanted command's module is imported: each starts quickly
            function = getattr(import_module(f"condense.{module}"), name.replace("-", "_"))
            app.command(name, context_settings=PASSED_ON.get(name))(function)
    gc.freeze()
    gc.enable()
    journal = _journal(words)
    try:
        app(words)
    except SystemExit as end:
        if journal and not end.code:
            journal.unlink(missing_ok=True)
        raise
    except InputError as error:
        sys.exit(f"condense {wanted}: {error}")
    except OSError as error:
        if error.filename is None:
            raise
        sys.exit(f"condense {wanted}: {unusable(error)}")
    except Unfinished as error:
        print(f"condense {wanted}: {error}", file=sys.stderr)
        sys.exit(75)


def _journal(words: list[str]) -> Path | None:
    """Keep what a run says whose states are kept; None for a command without states."""
    state = next((value for option, value in pairwise(words) if option in STATES), None)
    if state is None:
        return None
    from condense.base.progress import keep_journal

    path = Path(state).with_name(f"{Path(state).name}.log")
    keep_journal(path)
    return path


if __name__ == "__main__":
    main()
