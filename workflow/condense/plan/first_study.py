"""A stranger's first study: a short config for a folder of images, and the workflow run on it."""

import json
import math
import os
import sys
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Annotated, NamedTuple

import typer

from condense.base.errors import InputError
from condense.base.storage import replacing
from condense.config.settings import Images
from condense.images.index import list_images
from condense.images.sources import source

SEEN = 32  # images whose size is looked at
SIDES = (8, 16, 32)  # of generated images; larger ones want a GPU and an autoencoder
COUNTED = ("--cores", "-c", "-j", "--jobs", "--profile", "--workflow-profile")  # say how many jobs at once
REPOSITORY = Path(__file__).parents[3]


class FolderOfImages(NamedTuple):
    """What the images are like."""

    images: Images
    classes: int
    smallest: int  # images of the smallest class
    count: int
    side: int  # the median of their shorter sides, in pixels


def init(
    folder: Annotated[Path, typer.Argument(help="Folder of the new study.")],
    images: Annotated[Path, typer.Option(help="Folder of images, one folder per class; or of Parquet, tar.")],
) -> None:
    """Write the config of a first study of a folder of images, and say what was chosen and why."""
    config = folder / "config.yaml"
    if config.exists():
        raise InputError(f"{config} is there already: name another folder, or edit it.")
    found = look(images)
    text, reasons = compose(found)
    with replacing(config) as beside:
        beside.write_text(text, encoding="utf-8")
    print(
        f"{config}: {found.count:,} images of {found.classes} classes, {found.smallest} in the smallest, "
        f"about {found.side} pixels"
    )
    for reason in reasons:
        print(f"- {reason}")
    print(f"next: cd {folder} && condense run -n    (what would be done)")
    print(f"then: cd {folder} && condense run       (every table, and results/report.zip)")


def run(
    words: Annotated[list[str] | None, typer.Argument(help="Files to make, options of Snakemake.")] = None,
) -> None:
    """Run the workflow on the study in this folder: Snakemake, with all its options."""
    snakefile = REPOSITORY / "Snakefile"
    if not snakefile.is_file():
        raise InputError("the package came without the workflow: clone the repository, pip install -e .")
    if not Path("config.yaml").is_file():
        raise InputError("there is no config.yaml here: go to a study's folder, or make one: condense init.")
    words = words or []
    if not any(word.startswith(COUNTED) for word in words):
        words = [*words, "--cores", str(os.cpu_count() or 1)]
    os.execv(sys.executable, [sys.executable, "-m", "snakemake", "--snakefile", str(snakefile), *words])


def look(root: Path) -> FolderOfImages:
    """What lies in a folder: which source it is, its classes and sizes. InputError where there is nothing."""
    if not root.is_dir():
        raise InputError(f"{root} is not a folder: give the folder of the images.")
    place = str(root.resolve())
    kinds = {"parquet": "*.parquet", "tar": "*.tar"}
    packed = next((kind for kind, names in kinds.items() if any(root.glob(names))), None)
    if packed:
        settings = Images(source=packed, root=f"{place}/{kinds[packed]}")
    else:
        flat = not any(entry.is_dir() and not entry.name.startswith(".") for entry in root.iterdir())
        settings = Images(root=place, unlabelled=flat)
    rows = list_images(settings)
    sizes = Counter(row.cls for row in rows)
    opened = source(settings)
    some = rows[:: 1 + (len(rows) - 1) // SEEN]
    side = median(min(opened.open(row.path).size) for row in some)
    return FolderOfImages(settings, len(sizes), min(sizes.values()), len(rows), int(side))


def compose(found: FolderOfImages) -> tuple[str, list[str]]:
    """The config of a study, and the reasons of its choices."""
    if found.classes < 2 or found.smallest < 5:
        raise InputError(
            f"a first study needs two classes of five images or more, and there are {found.classes} of at "
            f"least {found.smallest}: see docs/sources.md for images without labels."
        )
    side = max((side for side in SIDES if side <= found.side), default=SIDES[0])
    budget = min(10, found.smallest // 3)
    samples = found.classes * math.ceil(max(500, 4 * found.classes) / found.classes)
    depth = int(math.log2(side)) - 1
    lines = [
        "# yaml-language-server: $schema=" + str(REPOSITORY / "docs" / "config.schema.json"),
        f"images: {{ {_source(found.images)}, validation: 0.2 }} # the held-out fifth examines students",
        "shards: 1",
        f'budgets: {{ "{budget}": {budget} }} # images of each class',
        "encoders:",
        f"  chooser: {{ kind: fit, side: {side}, seed: 0 }} # fitted on your images; better for photographs:",
        f"  judge: {{ kind: fit, side: {side}, seed: 1 }} # {{ kind: timm, model: mobilenetv2_100 }}",
        "detector: judge # in whose features samples are scored: not the one that chose",
        "methods:",
        "  random: { kind: random } # the control",
        "  herding: { kind: herding, encoder: chooser }",
        "  gadc: { kind: gadc, encoder: chooser, epsilon: 0.05, epsilon_unit: median, alpha: 6, beta: 1 }",
        "generators:",
        "  sit: # a small one, so that a first table is there in minutes; give it more steps and width",
        "    objective: flow",
        f"    resolution: {side} # pixels",
        f"    network: {{ depth: 3, width: 96, heads: 3, patch: {side // 4} }}",
        "    training: { steps: 1500, batch: 64, learning_rate: 0.004, beta2: 0.99, warmup: 50, clip: 1, "
        "ema: 0.995, ema_warmup: true }",
        f"    sampling: {{ images: {samples}, sampler: euler, steps: 25, guidance: 1.25 }}",
        "students:",
        f"  convnet: {{ resolution: {side}, network: {{ depth: {depth}, width: 64 }}, "
        "training: { recipe: dsco, epochs: 100 } }",
        "seeds: [0] # more seeds, and the tables have intervals",
        "comparisons:",
        f'  "{budget}": {{ methods: [random, herding, gadc], generators: [sit], students: [convnet] }}',
    ]
    reasons = [
        f"budget {budget}: a third of the smallest class at most, and no more than 10 of each class",
        f"resolution {side}: the images have about {found.side} pixels, and a CPU draws up to {SIDES[-1]}",
        f"sampling.images {samples}: as many of each of the {found.classes} classes; an FID of so few "
        "samples compares rows of one table alone",
        "encoders are fitted on your images, so that nothing is downloaded; steps 1,500, guidance 1.25: what "
        "draws digits well",
    ]
    return "\n".join(lines) + "\n", reasons


def _source(images: Images) -> str:
    """The keys of a source of images."""
    kind = "" if images.source == "imagefolder" else f"source: {images.source}, "
    return f"{kind}root: {json.dumps(images.root, ensure_ascii=False)}"
