"""Every command, given a file that is cut, empty, foreign or binary, says one sentence and nothing else."""

import importlib
import io
import json
import shlex
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
import typer
import yaml
from PIL import Image
from safetensors.torch import save_file
from typer.core import TyperArgument
from typer.testing import CliRunner

from condense.__main__ import COMMANDS
from condense.base.errors import InputError, Unfinished, unusable
from condense.plan.plan import Plan
from sources import ROOT

DIGITS = yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())
LAYOUT = shlex.split(Plan(DIGITS).options.tabulate("main_100"))[1]
# options that name what a command writes, or a folder that it fills
OUTPUTS = {
    *(
        "output",
        "every",
        "diagnostics",
        "pairs",
        "distances",
        "history",
        "milestones",
        "state",
        "state_folder",
    ),
    *("markdown", "latex", "html", "reproduce", "confusion"),
}
READ = {("plot-pairs", "pairs"), ("dope", "confusion"), ("plot-confusion", "confusion")}  # not so there
WORDS = {  # what else a command needs, by the name of its option
    "shard": "1-of-1",
    "form": "list",
    "budget": "1",
    "name": "random",
    "layout": LAYOUT,
    "config": json.dumps(DIGITS),
    "objective": "flow",
    "resolution": "8",
}
DATA = ("--source", "digits", "--validation", "0.2")
# what it takes to come as far as the file, by command, or command and option; STRANGE is the file itself
STRANGE, GOOD = "STRANGE", "GOOD"
MORE: dict[str | tuple[str, str], tuple[str, ...]] = {
    "encoder": ("--kind", "fit", *DATA),
    "embed-validation": DATA,
    "select": ("--budget", "1"),
    "cluster": ("--count", "2", *DATA),
    ("select", "scores"): ("--budget", "1", "--features", GOOD),
    ("select", "index"): ("--budget", "1", "--kind", "random"),
    "merge-subset": (STRANGE,),
    "captions": ("--path", STRANGE),
    "train": ("--depth", "1", "--width", "4", "--heads", "1"),
    "synthesise": ("--kind", "samples"),
    "dope": ("--kind", "doped"),
    "choose-groups": ("--kind", "groups"),
    "score": ("--samples", STRANGE, "--reference", STRANGE, "--detector", STRANGE),
    ("score", "reference"): ("--samples", STRANGE, "--detector", STRANGE),
    ("score", "references"): ("--features", STRANGE, "--subset", STRANGE),
    "relabel": ("--teacher", STRANGE, *DATA),
    "learn": DATA,
    ("learn", "teacher"): ("--recipe", "dsco-soft", *DATA),
    ("learn", "soft_labels"): ("--recipe", "dsco-soft", *DATA),
}


def written(kind: str, path: Path) -> Path:
    """A file that is not what any command asks for."""
    if kind == "cut":
        whole = io.BytesIO()
        np.savez(whole, features=np.ones((20, 3)), labels=np.zeros(20))
        path.write_bytes(whole.getvalue()[:300])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "binary":
        path.write_bytes(np.random.default_rng(0).bytes(4000))
    elif kind == "text":
        path.write_text("method,seed\nrandom,0\nother;4,\n")
    elif kind == "latin":
        path.write_bytes("größe: 3\nmehr: [ä\n".encode("latin-1"))
    elif kind == "yaml":
        path.write_text("a: 1\n- b\n")
    elif kind == "json":
        path.write_text('{"images": 3, "list": [1, 2]}')
    elif kind == "image":
        Image.new("RGB", (9, 9)).save(path, "PNG")
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["mine"] = np.arange(4)
            file.create_group("group")["features"] = np.ones((2, 2))
    elif kind == "npz":
        np.savez(path.with_suffix(".npz"), mine=np.array([None, "x"], dtype=object))
        path.with_suffix(".npz").rename(path)
    elif kind == "weights":
        save_file({"mine": torch.ones(2)}, path)
    elif kind == "pickle":
        torch.save({"model": [1, 2]}, path)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a.txt", "text")
    elif kind == "folder":
        path.mkdir()
    return path


KINDS = (
    "cut",
    "empty",
    "binary",
    "text",
    "latin",
    "yaml",
    "json",
    "image",
    "hdf5",
    "npz",
    "weights",
    "pickle",
)
KINDS += ("zip", "folder", "missing")


def command(name: str) -> Any:
    """A command as the command line has it."""
    app = typer.Typer(pretty_exceptions_enable=False, add_completion=False)
    function = getattr(importlib.import_module(f"condense.{COMMANDS[name]}"), name.replace("-", "_"))
    app.command(name)(function)
    return app


def parameters(made: Any) -> list[Any]:
    """Its arguments and options."""
    return [option for option in typer.main.get_command(made).params if option.name != "help"]


def needed_too(name: str, option: Any, given: Path, folder: Path) -> list[str]:
    """Further words of a command, so that it comes as far as the file."""
    words = MORE.get((name, option.name) if option else name, MORE.get(name, ()))
    if GOOD in words:
        np.savez(folder / "good.npz", features=np.eye(6, dtype=np.float32), labels=np.zeros(6, int))
    places = {STRANGE: str(given), GOOD: str(folder / "good.npz")}
    return [places.get(word, word) for word in words]


def is_path(option: Any) -> bool:
    """Whether an option is a path, or a list of them."""
    return "pathlib.Path" in str(option.type_descriptor.annotation)


def reads(name: str, option: Any) -> bool:
    """Whether an option of a command names a file that is read."""
    return is_path(option) and (option.name not in OUTPUTS or (name, option.name) in READ)


def word(name: str, option: Any, given: Path, folder: Path) -> str:
    """A value for an option that must be given."""
    if is_path(option):
        return str(given) if reads(name, option) else str(folder / "made" / option.name)
    return WORDS.get(option.name, "1")


def invocations(name: str, made: Any, given: Path, folder: Path) -> list[tuple[str, list[str]]]:
    """What is needed, and that with each further file that can be given, under the option's name."""
    options = parameters(made)
    needed = [option for option in options if option.required]
    further = [option for option in options if reads(name, option) and not option.required]
    found = []
    for extra in [[], *([option] for option in further)]:
        words = []
        for option in [*needed, *extra]:
            flags = [] if isinstance(option, TyperArgument) else [option.opts[0]]
            words += [*flags, word(name, option, given, folder)]
        extra_words = needed_too(name, extra[0] if extra else None, given, folder)
        found.append((extra[0].name if extra else "", words + extra_words))
    return found


READERS = [name for name in COMMANDS if any(reads(name, option) for option in parameters(command(name)))]
# options of folders that are looked into where there are any, or written to; and what may hold anything
ANY = {("tabulate", "benchmarks"), ("train", "tensorboard"), ("watch", "folder"), ("select", "probabilities")}
# an empty history is that of a generator that was not trained, the page tells the digest of any table, and
# what is wrong inside a config is said of config.yaml
FINE = {
    ("plot-losses", "empty"),
    ("provenance", "text"),
    ("provenance", "yaml"),
    ("estimate", "json"),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", READERS)
def test_a_strange_file_is_one_sentence(name: str, kind: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    given = tmp_path / "strange"
    if kind != "missing":
        written(kind, given)
    made = command(name)
    for option, words in invocations(name, made, given, tmp_path):
        if str(given) not in words or (name, option) in ANY or (name, kind) in FINE:
            continue
        error = CliRunner().invoke(made, words).exception
        assert isinstance(error, InputError | Unfinished | OSError), (words, repr(error))
        text = unusable(error) if isinstance(error, OSError) else str(error)
        assert text.count("\n") == 0 and len(text) < 500, text
        assert "Traceback" not in text and "<class" not in text, text
        assert "strange" in text, (words, text)
