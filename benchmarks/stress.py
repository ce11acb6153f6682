"""A study of many classes of drawn JPEGs, stage by stage: time, processor time, peak memory, number of jobs.

`python benchmarks/stress.py --classes 100 1000`; the pictures and results lie in a temporary folder.
"""

import argparse
import multiprocessing
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
STUDY = {
    "images": {"source": "imagefolder", "root": "images"},
    "shards": 16,
    "budgets": {"few": 10},
    "encoders": {"net": {"kind": "timm", "model": "test_resnet", "weights": "net.safetensors"}},
    "methods": {"gadc": {"kind": "gadc", "encoder": "net", "epsilon": 0.05, "epsilon_unit": "median"}},
    "detector": "net",
    "generators": {
        "sit": {
            "objective": "flow",
            "resolution": 8,
            "network": {"depth": 1, "width": 16, "heads": 2, "patch": 4},
            "sampling": {"images": 1000, "sampler": "euler", "steps": 4},
        }
    },
    "comparisons": {"few": {"methods": ["gadc"], "generators": ["sit"]}},
}
SHARDS = range(1, STUDY["shards"] + 1)
STAGES = {
    "index": ["results/index.csv"],
    "embed": [f"results/embeddings/net/{i}-of-16.h5" for i in SHARDS],
    "select": ["results/subsets/gadc/few.csv"],
}
EXPORT = [*STAGES["select"], "--form", "imagefolder", "--root", "images", "--output", "exported"]
SNAKEMAKE = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--cores", "2"]


def draw(folder: Path, classes: int, images: int) -> None:
    """Write the study: JPEGs of 96 x 72 pixels in folders named by WordNet id, and a seeded network."""
    import numpy as np
    import timm
    import torch
    from PIL import Image
    from safetensors.torch import save_file

    random = np.random.default_rng(0)
    for name in timm.data.ImageNetInfo().label_names()[:classes]:
        place = folder / "images" / name
        place.mkdir(parents=True)
        colour = random.uniform(40, 210, 3)
        for number in range(images):
            coarse = random.normal(colour, 40, (9, 12, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(coarse).resize((96, 72)).save(place / f"{name}_{number}.JPEG")
    torch.manual_seed(0)
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), folder / "net.safetensors")
    (folder / "config.yaml").write_text(yaml.safe_dump(STUDY))


def measure(name: str, command: list[str], folder: Path) -> str:
    """Run a command; one row: stage, jobs, wall and processor seconds, MiB of its largest process."""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow")}
    began = time.perf_counter()
    with (folder / "said.txt").open("w+") as said:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, used = os.wait4(process.pid, 0)
        said.seek(0)
        text = said.read()
    if status:
        sys.exit(text)
    steps = re.findall(r"^(\d+) of \1 steps", text, re.MULTILINE)
    seconds = time.perf_counter() - began
    jobs = steps[-1] if steps else ""
    processor = used.ru_utime + used.ru_stime
    return f"| {name} | {jobs} | {seconds:.1f} | {processor:.1f} | {used.ru_maxrss / 1024:.0f} |"


def main() -> None:
    """Print one table for each number of classes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--classes", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--images", type=int, default=25)
    options = parser.parse_args()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for classes in options.classes:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            drawing = multiprocessing.Process(target=draw, args=(folder, classes, options.images))
            drawing.start()  # by itself: a child's peak memory counts from its parent's
            drawing.join()
            print(f"\n{classes} classes of {options.images} JPEGs, 2 cores\n")
            print("| stage | jobs | s | processor s | peak MiB |\n|---|---:|---:|---:|---:|")
            for name, targets in STAGES.items():
                print(measure(name, [*SNAKEMAKE, *targets], folder), flush=True)
            export = [sys.executable, "-m", "condense", "export", *EXPORT]
            print(measure("export", export, folder), flush=True)
            print(measure("nothing to do", [*SNAKEMAKE, *STAGES["select"]], folder), flush=True)
            print(measure("plan of all", [*SNAKEMAKE, "--dry-run"], folder), flush=True)


if __name__ == "__main__":
    main()
