"""Stage report: what the results of a study were made with, and the commands that make them again."""

import dataclasses
import html
import json
import platform
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from pydantic import BaseModel

from condense.base.processor import instruction_sets, processor
from condense.base.storage import file_digest, replacing
from condense.base.tables import read_table
from condense.config import study as studies
from condense.reporting.typeset import html_page

REPOSITORY = Path(__file__).parents[3]


def provenance(
    results: Annotated[list[Path], typer.Argument(help="Tables whose digests are told.")],
    config: Annotated[str, typer.Option(help="Config of the study, as JSON.")],
    output: Annotated[Path, typer.Option(help="Page (HTML).")],
    reproduce: Annotated[Path, typer.Option(help="Commands that make each table (Markdown).")],
) -> None:
    """Tell commit, versions, device, settings other than the defaults and digests; list the commands."""
    given = json.loads(config)
    study = studies.load(given)
    sections = {
        "Made with": [("commit", commit()), ("python", platform.python_version())],
        "Machine": [*machines(results)],
        "Settings other than the defaults": [*differences(study)],
        "SHA-256": [(str(path), file_digest(path)) for path in results],
        "Packages, where this page was made": versions(),
    }
    with replacing(output) as beside:
        beside.write_text(page(study.title or "Study", sections), encoding="utf-8")
    with replacing(reproduce) as beside:
        beside.write_text(commands(study), encoding="utf-8")


def commit() -> str:
    """Commit of the package's repository, and whether it was changed since."""
    try:
        call = ["git", "-C", str(REPOSITORY)]
        name = subprocess.run([*call, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        edited = subprocess.run(
            [*call, "status", "--porcelain", "--untracked-files=no"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "not a git repository"
    return name.strip() + (" with changes" if edited.strip() else "")


def versions() -> list[tuple[str, str]]:
    """Name and version of each installed package."""
    return sorted({(found.name, found.version) for found in metadata.distributions()})


def machines(results: list[Path]) -> Iterator[tuple[str, str]]:
    """What this page was made on, and what the runs of the comparisons were trained on."""
    yield "this page made on", f"{platform.platform()}, {processor()}, {instruction_sets()}"
    tables = [table for path in results if {"device", "arithmetic"} <= {*(table := read_table(path))}]
    runs = pd.concat([table[["device", "arithmetic"]] for table in tables]) if tables else pd.DataFrame()
    found = {f"{run.device} ({run.arithmetic})" for run in runs.dropna().itertuples()}
    for machine in sorted(found) or ["not told"]:
        yield "trained on", machine


def differences(section: Any, where: str = "") -> Iterator[tuple[str, str]]:
    """Key and value of each setting of a study that is not at its default."""
    if isinstance(section, BaseModel):
        fields = [(name, field.default) for name, field in type(section).model_fields.items()]
    elif dataclasses.is_dataclass(section):
        fields = [(field.name, field.default) for field in dataclasses.fields(section)]
    elif isinstance(section, dict) and where.count(".") < 2:
        fields = [(name, None) for name in section]
    else:
        yield where, json.dumps(section, default=str)
        return
    for name, default in fields:
        value = section[name] if isinstance(section, dict) else getattr(section, name)
        if value != default and name != "tables":
            yield from differences(value, f"{where}.{name}".lstrip("."))


def page(title: str, sections: dict[str, list[tuple[str, str]]]) -> str:
    """A page of sections of names and values."""
    lines = [f"<h1>{html.escape(title)}: provenance</h1>"]
    for heading, rows in sections.items():
        lines += [f"<h2>{heading}</h2><table>"]
        lines += [f"<tr><td>{html.escape(name)}<td>{html.escape(value)}" for name, value in rows]
        lines += ["</table>"]
    return html_page("Provenance", lines)


def commands(study: studies.Study) -> str:
    """Markdown that lists each table with the command that makes it."""
    lines = ["# How to make these results again", "", f"Commit {commit()}; in a clone of the repository:", ""]
    lines += [
        "```",
        "pip install --requirement requirements.txt",
        "export STUDY=folder/of/config.yaml",
        "```",
        "",
    ]
    lines += ["", "| result | command |", "| --- | --- |"]
    targets = [f"results/fid_{budget}.csv" for budget in study.comparisons if study.rows(budget, "generator")]
    targets += [
        f"results/accuracy_{budget}.csv" for budget in study.comparisons if study.rows(budget, "student")
    ]
    targets += ["results/subsets.csv"] * bool(study.subsets)
    targets += [f"results/tables/{name}.csv" for name in study.tables]
    targets += [f"results/agreement/{name}.csv" for name, table in study.tables.items() if table.judged]
    targets += [f"results/figures/{its.drawn}/{name}.png" for name, its in study.tables.items() if its.plot]
    targets += [f"results/report_{budget}.zip" for budget in study.comparisons] + ["results/report.zip"]
    lines += [f"| {target} | `snakemake {target} --cores all --directory $STUDY` |" for target in targets]
    return "\n".join([*lines, ""])
