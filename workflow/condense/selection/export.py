"""Stage export: a subset in the forms that other programs open."""

import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple

import typer

from condense.base.errors import InputError
from condense.base.progress import say, track
from condense.base.storage import replacing_folder
from condense.base.tables import read_table, write_rows
from condense.config.options import take
from condense.config.settings import Images
from condense.images.index import each_row
from condense.images.lists import write_indices, write_json, write_list
from condense.images.packed import Packed
from condense.images.sources import ImageFolder, Source, source
from condense.images.subset import MADE, Chosen, MadeFolder, open_chosen, read_subset

Form = Literal["list", "json", "indices", "imagefolder", "huggingface"]
METADATA = (
    "file_name",
    "label",
    "class_index",
    "rank",
)  # what Hugging Face's imagefolder reads beside images
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
    subset: Annotated[Path, typer.Argument(help="Subset (CSV).")],
    output: Annotated[Path, typer.Option(help="File or folder to write.")],
    form: Annotated[Form, typer.Option(help="Kind of output.")],
    images: Images,
    index: Annotated[Path | None, typer.Option(help="Index of all images; needed for indices.")] = None,
    prefix: Annotated[str, typer.Option(help="list, json: text before each path.")] = "",
    link: Annotated[bool, typer.Option(help="imagefolder: relative links instead of copies.")] = False,
    method: Annotated[str, typer.Option(help="huggingface: name of the method, for the card.")] = "",
    settings: Annotated[str, typer.Option(help="huggingface: the method's settings, as JSON.")] = "{}",
    numbers: Annotated[Path | None, typer.Option(help="huggingface: table with rows of the subset.")] = None,
    origin: Annotated[str, typer.Option(help="huggingface: name of the data set.")] = "",
    made: MadeFolder = MADE,
) -> None:
    """Write a subset as a list, as JSON, as indices, or as a folder of images."""
    opened = source(images)
    copies = form in ("imagefolder", "huggingface")
    chosen = read_subset(subset, index=index, images=opened if copies else None, made=made)
    rows = sorted(chosen, key=lambda row: (row.class_index, row.rank))
    paths = [row.path for row in rows]
    if not copies and any(row.made for row in rows):
        raise InputError(f"{subset} has made images, which nobody finds by name: export them as imagefolder.")
    if form == "list":
        write_list(paths, output, prefix)
    elif form == "json":
        write_json(paths, output, prefix)
    elif form == "indices":
        if index is None:
            raise InputError("--form indices needs --index, the index of all images.")
        everything = sorted(each_row(index), key=lambda row: (row.class_index, row.path))
        order = [row.path for row in everything]
        _require_torchvisions_order(order, opened)
        write_indices(paths, order, output)
    elif form == "imagefolder":
        names = names_for_torchvision(rows, link)
        with new_folder(output) as folder:
            place_images(rows, names, folder, opened, made, link)
    else:
        names = _names(rows)
        card = _card(method, subset.stem, settings, numbers, origin or _name(images))
        with new_folder(output) as folder:
            place_images(rows, names, folder / "train", opened, made)
            told = [(name, *row[1:4]) for name, row in zip(names, rows, strict=True)]
            write_rows(folder / "train" / "metadata.csv", METADATA, told)
            (folder / "README.md").write_text(render(card, rows), encoding="utf-8")
    say(f"{len(paths)} images as {form} -> {output}")


def _require_torchvisions_order(everything: Sequence[str], images: Source) -> None:
    """Refuse to number images otherwise than torchvision's ImageFolder: each index would name another image.

    It goes by other extensions than the index, and takes hidden files and folders, at any depth.
    """
    if not isinstance(images, ImageFolder):
        return
    if images.settings.root is None:
        raise InputError("--form indices needs --root, the folder whose images torchvision would number.")
    from torchvision.datasets.folder import IMG_EXTENSIONS, find_classes, make_dataset

    try:
        samples = make_dataset(images.root, find_classes(images.root)[1], IMG_EXTENSIONS, allow_empty=True)
    except OSError as error:
        raise InputError(f"{images.root} cannot be listed ({error}): give the image root.") from None
    theirs = {Path(file).relative_to(images.root).as_posix() for file, _ in samples}
    for own, other, does in ((theirs, {*everything}, "has"), ({*everything}, theirs, "passes over")):
        if odd := min(own - other, default=None):
            raise InputError(
                f"torchvision's ImageFolder {does} {odd!r}, and the index does not: "
                "indices would name other images; export a list, or remove that file and index anew."
            )


def _names(rows: Sequence[Chosen]) -> list[str]:
    """Class and file of each image in a folder of the subset's own."""
    return [f"{row.cls}/{PurePosixPath(row.path).name}" for row in rows]


def names_for_torchvision(rows: Sequence[Chosen], link: bool) -> list[str]:
    """The same with `.png` behind names that torchvision's ImageFolder passes over: these are converted.

    As they are, their images would be missing from the classes without a word.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS

    names = _names(rows)
    passed = [name for name in names if not name.lower().endswith(IMG_EXTENSIONS)]
    if passed and link:
        raise InputError(f"torchvision's ImageFolder passes over {passed[0]!r}: export without --link.")
    if passed:
        say(f"note: {len(passed)} images, such as {passed[0]!r}, become PNG, which torchvision finds.")
    return [name if name.lower().endswith(IMG_EXTENSIONS) else f"{name}.png" for name in names]


@contextmanager
def new_folder(output: Path) -> Iterator[Path]:
    """Yield a folder that becomes `output` when all is well; InputError where something is there already."""
    if output.is_symlink() or output.is_file() or (output.exists() and any(output.iterdir())):
        raise InputError(f"{output} is there already: remove it or choose another output.")
    with replacing_folder(output) as folder:
        yield folder


def place_images(
    rows: Sequence[Chosen], names: Sequence[str], folder: Path, images: Source, made: Path, link: bool = False
) -> None:
    """Put the images into a folder by these names: files as they are or links to them, all others as PNG."""
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise InputError(f"two images would be {twice[0]!r}: give their files different names.")
    for row, name in track([*zip(rows, names, strict=True)], "export"):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        drawn = not (row.made or isinstance(images, ImageFolder | Packed))
        if drawn or target.name != PurePosixPath(row.path).name:
            open_chosen(row, images, made).save(target, format="png")
            continue
        if not row.made and isinstance(images, Packed):
            target.write_bytes(images.read(row.path))
            continue
        origin = (made if row.made else images.root) / row.path
        if link:
            target.symlink_to(os.path.relpath(origin, target.parent))
        else:
            shutil.copyfile(origin, target)


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


def render(card: Card, rows: Sequence[Chosen]) -> str:
    """Dataset card in Markdown, with the header that Hugging Face reads."""
    count, kinds = len(rows), len({row.cls for row in rows})
    made = sum(row.made for row in rows)
    size = next(name for limit, name in SIZES if count < limit)
    head = ["license: other", "task_categories: [unconditional-image-generation, image-classification]"]
    head += [f"size_categories: ['{size}']", "tags: [dataset-condensation, coreset]"]
    how = {count: "made", 0: "chosen"}.get(made, "chosen and made")
    held = {count: f"{count} made", 0: f"{count} real"}.get(made, f"{count - made} real and {made} made")
    lines = ["---", *head, "---", "", f"# {count} images of {card.origin}, {how} by {card.method}", ""]
    lines += [f"{held} images in {kinds} classes (budget {card.budget}), {how} from {card.origin}."]
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
