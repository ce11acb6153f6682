"""A copy of the repository's workflow and of its tiny study, in which a test may change anything."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import yaml

ROOT = Path(__file__).parents[1]
TOKEN = "hf_" + "Q7z" * 11  # of a hub, in the environment of a run
CLASSES = ("n01440764", "n02102040", "n02979186")  # the encoder's head knows WordNet ids


class StudyCopy:
    """Workflow in `repo`, study in `folder`; `run` calls Snakemake on it as a user would."""

    def __init__(self, repo: Path, folder: Path) -> None:
        self.repo, self.folder = repo, folder

    @classmethod
    def create(cls, root: Path) -> "StudyCopy":
        """Copy the workflow and draw the tiny study's pictures and encoder."""
        made = cls(copy_workflow(ROOT, root / "repo"), root / "study")
        shutil.copytree(ROOT / "tests" / "tiny", made.folder)
        draw_pictures(made.folder / "images")
        draw_encoder(made.folder / "net.safetensors")
        return made

    def duplicate(self, root: Path) -> "StudyCopy":
        """Fresh clone of the workflow beside a copy of the study with its results."""
        shutil.copytree(self.folder, root / "study")
        return StudyCopy(copy_workflow(self.repo, root / "repo"), root / "study")

    def command(self, *words: str) -> list[str]:
        """Snakemake's command line for this study."""
        run = [sys.executable, "-m", "snakemake", "--snakefile", str(self.repo / "Snakefile")]
        return [*run, "--directory", str(self.folder), "--cores", "2", *words]

    def run(self, *words: str, **variables: str) -> subprocess.CompletedProcess:
        """Run Snakemake to its end, with more environment variables; the output holds both streams."""
        return subprocess.run(
            self.command(*words),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
        )

    def planned(self, *words: str) -> dict[str, int]:
        """Jobs per rule that a run would do now."""
        done = self.run("--dry-run", *words)
        assert done.returncode == 0, done.stdout
        table = re.search(r"^job +count\n-+ +-+\n(.*?)\n\n", done.stdout, re.MULTILINE | re.DOTALL)
        if not table:
            assert "Nothing to be done" in done.stdout, done.stdout
            return {}
        counts = {name: int(count) for name, count in (line.split() for line in table[1].splitlines())}
        return {name: count for name, count in counts.items() if name not in ("total", "all")}

    def tables(self) -> dict[str, bytes]:
        """Bytes of every index, subset, score and table, but `cost`, which says how long jobs took."""
        results = self.folder / "results"
        patterns = ("index.csv", "subsets/*/*.csv", "scores/**/*.csv", "*_6.csv", "tables/*")
        return {
            str(path.relative_to(results)): path.read_bytes()
            for pattern in patterns
            for path in results.glob(pattern)
            if path.is_file() and path.stem != "cost"
        }

    def configure(self, change) -> None:
        """Change the study's config in place."""
        path = self.folder / "config.yaml"
        config = yaml.safe_load(path.read_text())
        change(config)
        path.write_text(yaml.safe_dump(config, sort_keys=False))

    def edit(self, module: str, old: str, new: str) -> None:
        """Change a module of the package in place."""
        path = self.repo.joinpath("workflow", "condense", *module.split(".")).with_suffix(".py")
        text = path.read_text()
        assert old in text, f"{old!r} is no longer in {module}: name another piece of it here"
        path.write_text(text.replace(old, new, 1))


def copy_workflow(source: Path, target: Path) -> Path:
    """Copy what a run needs of a repository, with new modification times, as a clone has."""
    for part in ("workflow", "envs", "profiles"):
        shutil.copytree(
            source / part,
            target / part,
            copy_function=shutil.copyfile,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"),
        )
    for file in ("Snakefile", "requirements.txt"):
        shutil.copyfile(source / file, target / file)
    return target


def draw_pictures(folder: Path, count: int = 24) -> None:
    """Write noisy pictures of 16 x 16 pixels whose colour depends on the class."""
    from PIL import Image

    random = np.random.default_rng(0)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = random.normal(60 + 60 * number, 30, (16, 16, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i:03}.png")


def draw_encoder(path: Path) -> None:
    """Write seeded weights of timm's smallest network."""
    import timm
    import torch
    from safetensors.torch import save_file

    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), path)
