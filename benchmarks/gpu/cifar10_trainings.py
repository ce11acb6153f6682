"""Part 4, second: a generator for each subset of a replicate, all for as many steps as time allows."""

import json
from functools import partial
from pathlib import Path

import torch

from benchmarks.gpu.cifar10 import METHODS, PIXELS, RECIPE, REPLICATES, Study
from benchmarks.gpu.figures import Figure, Outcome, Place
from benchmarks.gpu.stages import stage
from benchmarks.gpu.timing import once, seconds_of
from benchmarks.gpu.training import Load, operations
from condense.base.storage import replacing
from condense.training.data import Sources, read_latents
from condense.training.examples import Examples
from condense.training.losses import Denoising
from condense.training.train import initialised
from condense.training.trainer import Trainer
from condense.training.workers import Workers

SECONDS = 50  # of the steps of one generator
REACHED = 0.20  # ASSUME: of the bf16 peak, for a network this narrow


def figures(place: Place, seed: int) -> list[Figure]:
    """The speed, from which the first replicate takes the number of steps of all; then each training."""
    study = Study(place)
    batch = study.training(1).batch
    load = Load("flow", study.network, place.size(32, 32), batch, batch, attached=False)
    needed = operations(load)
    rate = place.machine.bf16 * REACHED / needed
    basis = f"{needed / 1e9:.0f} GFLOP an image, {REACHED:.0%} of the peak"
    found = [Figure(f"speed, replicate {seed}", "images/s", rate, basis, partial(measure, study, needed))]
    for method in METHODS:
        expected = f"steps for {SECONDS} s at the speed measured"
        name = f"generator of {method}, replicate {seed}"
        found.append(Figure(name, "s", place.size(SECONDS, 1), expected, partial(train, study, method, seed)))
    return found


def measure(study: Study, needed: float) -> Outcome:
    """Images per second of the trainer; decides the number of steps where it is not decided."""
    torch._dynamo.reset()
    sources = Sources(read_latents(latents(study, "full", REPLICATES[0])))
    workers, training = Workers(0, 1, study.place.device), study.training(10**6)
    examples = Examples(sources, "flow", training, RECIPE, 0, workers)
    start = initialised(sources, "flow", study.network, RECIPE, 0)
    trainer = Trainer(start, examples, Denoising(examples.objective.losses, 0.5), training, workers)
    seconds = seconds_of(trainer.advance, study.place, least=5)
    decided = study.folder / "steps.json"
    if not decided.exists():
        steps = study.place.size(int(SECONDS / seconds) // 100 * 100, 3)
        with replacing(decided) as beside:
            beside.write_text(json.dumps({"steps": steps}), encoding="utf-8")
    rate = training.batch / seconds
    share = rate * needed / study.place.machine.bf16
    return Outcome(rate, share, note=f"{steps_of(study):,} steps of {training.batch} for each generator")


def steps_of(study: Study) -> int:
    """Steps of every training."""
    return json.loads((study.folder / "steps.json").read_text(encoding="utf-8"))["steps"]


def latents(study: Study, method: str, seed: int) -> Path:
    """Pixels of a subset as the trainer reads them, made where they are not there."""
    path = study.arm(method, seed) / "latents.h5"
    if not path.exists():
        subset = {"subset": study.subset(method, seed), "index": study.index, "images": study.images}
        stage("latents")(**subset, output=path, resolution=32, autoencoder=PIXELS)
    return path


def train(study: Study, method: str, seed: int) -> Outcome:
    """Train the generator of a subset; stopped, it goes on from its last state."""
    torch._dynamo.reset()
    arm = study.arm(method, seed)
    found = latents(study, method, seed)
    training = study.training(steps_of(study))
    call = partial(
        stage("train"),
        latents=found,
        output=arm / "generator.safetensors",
        history=arm / "history.jsonl",
        state_folder=arm / "states",
        objective="flow",
        network=study.network,
        training=training,
        recipe=RECIPE,
        seed=seed,
    )
    seconds = once(call, study.place)
    last = json.loads((arm / "history.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    return Outcome(seconds, note=f"last loss {last['loss']:.4f}")
