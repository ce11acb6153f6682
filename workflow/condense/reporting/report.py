"""Stage report: Snakemake's own report, built from inside the running workflow."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

from condense.base.errors import InputError
from condense.base.storage import replacing

SNAKEFILE = Path(__file__).parents[3] / "Snakefile"


def pack_report(
    output: Annotated[Path, typer.Option(help="Report (zip): unpack it and open report.html.")],
    config: Annotated[str, typer.Option(help="Config of the running study, as JSON.")],
    shown: Annotated[list[str] | None, typer.Argument(help="Results to show; all when none.")] = None,
) -> None:
    """Build the browsable report of results of the study in this folder."""
    with tempfile.TemporaryDirectory() as folder, replacing(output) as beside:
        settings = Path(folder) / "config.json"
        settings.write_text(json.dumps(json.loads(config)))
        built = Path(folder) / "report.zip"
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--snakefile",
            str(SNAKEFILE),
            "--configfile",
            str(settings),
        ]
        command += ["--nolock", "--workflow-profile", "none", "--report", str(built), *(shown or [])]
        if subprocess.run(command, check=False).returncode or not built.exists():
            raise InputError("Snakemake could not build the report; its message stands above.")
        beside.write_bytes(built.read_bytes())
