"""Stage export: a subset in the forms that other programs open."""

import csv
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import typer

from condense.base.errors import InputError
from condense.base.progress import say, track
from condense.base.tables import read_table
from condense.config.options import take
from condense.config.settings import Images
from condense.images.lists import write_indices, write_json, write_list
from condense.images.sources import ImageFolder, Source, source

Form = Literal["list", "json", "indices", "imagefolder", "huggingface"]
LICENCE = (
    "The images keep the terms of the data set that they come from. Publish them only where those terms "
    "allow it; ImageNet's do not: publish the list of paths instead (`condense export --form list`)."
)
SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**9, "n>1M"))


class Card(NamedTuple):
    """What the dataset card tells about a subset."""

    method: str
    budget: str
    settings: dict[str, Any]
    numbers: list[dict[str, Any]]
    origin: str


@take(images=Images)
def export(
    subset: Annotated[Path, typer.Argument(help="Subset, a CSV of path, class, class_index, rank.")],
    output: Annotated[Path, typer.Option(help="File or folder to write.")],
    form: Annotated[Form, typer.Option(help="Kind of output.")],
    images: Images,
    index: Annotated[Path | None, typer.Option(help="indices: index of all images.")] = None,
    prefix: Annotated[str, typer.Option(help="list, json: text before each path.")] = "",
    link: Annotated[bool, typer.Option(help="imagefolder: relative links instead of copies.")] = False,
    method: Annotated[str, typer.Option(help="huggingface: name of the method, for the card.")] = "",
    settings: Annotated[str, typer.Option(help="huggingface: the method's settings, as JSON.")] = "{}",
    numbers: Annotated[Path | None, typer.Option(help="huggingface: table with rows of the subset.")] = None,
    origin: Annotated[str, typer.Option(help="huggingface: name of the data set.")] = "",
) -> None:
    """Write a subset as a list, as JSON, as indices, or as a folder of images."""
    table = read_table(subset).sort_values(["class_index", "rank"], kind="stable")
    paths = table["path"].tolist()
    if form == "list":
        write_list(paths, output, prefix)
    elif form == "json":
        write_json(paths, output, prefix)
    elif form == "indices":
        if index is None:
            raise InputError("--form indices needs --index, the index of all images.")
        everything = read_table(index).sort_values(["class_index", "path"], kind="stable")
        write_indices(paths, everything["path"].tolist(), output)
    elif form == "imagefolder":
        with _replacing_folder(output) as folder:
            _place_images(source(images), paths, folder, link)
    else:
        card = _card(method, subset.stem, settings, numbers, origin or _name(images))
        with _replacing_folder(output) as folder:
            _place_images(source(images), paths, folder / "train", link=False)
            _write_metadata(table.to_dict("records"), folder / "train" / "metadata.csv")
            (folder / "README.md").write_text(render(card, table["class"].tolist()), encoding="utf-8")
    say(f"{len(paths)} images as {form} -> {output}")


@contextmanager
def _replacing_folder(output: Path) -> Iterator[Path]:
    """Yield a new folder beside `output` that takes its name when all is well."""
    if output.exists() and any(output.iterdir()):
        raise InputError(f"{output} is there already: remove it or choose another output.")
    beside = output.with_name(f".{output.name}.{os.getpid()}.part")
    beside.mkdir(parents=True)
    try:
        yield beside
        if output.exists():
            output.rmdir()
        beside.rename(output)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _place_images(images: Source, paths: Sequence[str], folder: Path, link: bool) -> None:
    """Put the images under class folders: files as they are, or links to them; drawn data as PNG."""
    for path in track(paths, "export"):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        if not isinstance(images, ImageFolder):
            images.open(path).save(target)
            continue
        origin = images.root / path
        if not origin.is_file():
            raise InputError(f"{origin} is not there: give the image root of the study that made the subset.")
        if link:
            target.symlink_to(os.path.relpath(origin, target.parent))
        else:
            shutil.copyfile(origin, target)


def _write_metadata(rows: Sequence[dict[str, Any]], file: Path) -> None:
    """Table that Hugging Face's imagefolder reads beside the images."""
    with file.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(("file_name", "label", "class_index", "rank"))
        writer.writerows((row["path"], row["class"], row["class_index"], row["rank"]) for row in rows)


def _card(method: str, budget: str, settings: str, numbers: Path | None, origin: str) -> Card:
    """Collect what the card tells; of the table of numbers, the rows of this method and budget."""
    rows: list[dict[str, Any]] = []
    if numbers is not None:
        table = read_table(numbers)
        table = table[(table["method"] == method) & (table["budget"] == budget)]
        rows = table.dropna(axis=1, how="all").to_dict("records")
    try:
        given = json.loads(settings)
    except ValueError as error:
        raise InputError(f"--settings {settings!r} is not JSON ({error}).") from None
    return Card(method or "a method without a name", budget, given, rows, origin)


def _name(images: Images) -> str:
    """What to call the data set where nobody says."""
    return "scikit-learn's digits" if images.source == "digits" else Path(images.root or "").name


def render(card: Card, classes: Sequence[str]) -> str:
    """Dataset card in Markdown, with the header that Hugging Face reads."""
    count, kinds = len(classes), len(set(classes))
    size = next(name for limit, name in SIZES if count < limit)
    head = ["license: other", "task_categories: [unconditional-image-generation, image-classification]"]
    head += [f"size_categories: ['{size}']", "tags: [dataset-condensation, coreset]"]
    lines = ["---", *head, "---", "", f"# {count} images of {card.origin}, chosen by {card.method}", ""]
    lines += [f"{count} real images in {kinds} classes (budget {card.budget}), chosen from {card.origin}."]
    lines += ["`rank` is the place of an image in its class's selection.", "", "## Licence", "", LICENCE, ""]
    if card.settings:
        lines += ["## Settings", "", "```json", json.dumps(card.settings, indent=2), "```", ""]
    if card.numbers:
        lines += ["## Numbers", "", *_markdown(card.numbers), ""]
    return "\n".join(lines)


def _markdown(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Lines of a Markdown table."""
    columns = list(rows[0])
    cells = [columns, ["---"] * len(columns), *([_short(row[key]) for key in columns] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in cells]


def _short(value: Any) -> str:
    """Number with four significant digits; other values as they are."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
