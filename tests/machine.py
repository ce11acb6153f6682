"""A short chain of stages whose every digest is known: any machine can say whether it agrees.

PYTHONPATH=workflow:tests python tests/machine.py     prints the digests that this machine makes
"""

import hashlib
import json
import sys
import tempfile
from pathlib import Path

if __name__ == "__main__":  # before any library is imported
    from condense.base.arithmetic import prepare

    prepare([])

import numpy as np
from safetensors.torch import load_file

from commands import call
from condense.diffusion.generate import generate
from condense.encoders.classify import classify
from condense.encoders.embed import embed
from condense.encoders.encoder import encoder
from condense.images.index import index
from condense.images.subset import merge_subset
from condense.selection.select import select
from condense.training.latents import latents
from condense.training.train import train

DIGITS = ["--source", "digits", "--per-class", 30]
NETWORK = ["--depth", 2, "--width", 32, "--heads", 2, "--batch", 16, "--ema", 0.9]
SAMPLES = ["--images", 20, "--steps", 5, "--batch", 20, "--shard", "1-of-1"]


def chain(folder: Path) -> dict[str, str]:
    """Digest of what each stage makes of a few digits: tensors, subset, weights, images."""
    path = {name: folder / name for name in ("i.csv", "cnn.safetensors", "e.h5", "p.h5", "z.h5")}
    call(index, *DIGITS, "--output", path["i.csv"])
    call(encoder, "--kind", "fit", "--epochs", 4, *DIGITS, path["i.csv"], "--output", path["cnn.safetensors"])
    images = [*DIGITS, "--index", path["i.csv"]]
    kept = ["--encoder", path["cnn.safetensors"], "--state", folder / "state"]
    call(embed, *images, *kept, "--output", path["e.h5"])
    given = ["--embeddings", path["e.h5"], "--classifier", path["cnn.safetensors"]]
    call(classify, *given, "--output", path["p.h5"])
    chosen = ["--features", path["e.h5"], "--probabilities", path["p.h5"], "--budget", 5, "--beta", 1]
    chosen += ["--epsilon", 0.05, "--epsilon-unit", "median"]
    tables = [folder / "part.csv", folder / "part.diagnostics.csv"]
    call(select, *chosen, "--output", tables[0], "--diagnostics", tables[1])
    call(merge_subset, *tables, "--output", folder / "s.csv", "--diagnostics", folder / "d.csv")
    call(latents, *images, "--subset", folder / "s.csv", "--resolution", 8, "--output", path["z.h5"])
    digests = {
        "encoder": of_tensors(path["cnn.safetensors"]),
        "subset": hashlib.sha256((folder / "s.csv").read_bytes()).hexdigest(),
    }
    for objective, sampler in (("flow", "euler"), ("adm", "ddpm")):
        made = [folder / f"{objective}.safetensors", folder / f"{objective}.jsonl", folder / objective]
        files = ["--output", made[0], "--history", made[1], "--state-folder", made[2]]
        run = ["--latents", path["z.h5"], "--objective", objective, "--steps", 12, *NETWORK]
        call(train, *run, *files)
        digests[objective] = of_tensors(made[0])
        call(generate, "--weights", made[0], "--sampler", sampler, *SAMPLES, "--output", folder / "x.npz")
        with np.load(
            folder / "x.npz"
        ) as drawn:  # versions of Python write other archives around the same arrays
            digests[f"{objective} images"] = hashlib.sha256(drawn["images"].tobytes()).hexdigest()
    return {name: digest[:16] for name, digest in digests.items()}


def of_tensors(path: Path) -> str:
    """Digest of an artefact's tensors, whatever its description."""
    digest = hashlib.sha256()
    for name, tensor in sorted(load_file(path).items()):
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return digest.hexdigest()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        json.dump(chain(Path(place)), sys.stdout, indent=2)
        print()
