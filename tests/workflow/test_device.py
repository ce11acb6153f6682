"""Every stage, on the stand-in for a GPU: what it leaves is what it leaves on the processor."""

import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file
from safetensors.torch import save_file

from commands import call
from condense.__main__ import COMMANDS
from condense.images.adm_files import write_samples
from inceptions import write_script
from sources import MODULES, dotted
from standin import Pretended, pretend
from texts import write_text_encoder

CLASSES = ("n01440764", "n02102040", "n02979186")
COUNT, SIDE = 8, 32

# Label: command and words, in an order in which each finds its inputs. {made} is the folder of what stands
# before, {out} that of what the stage makes; on the processor they are one.
STAGES = {
    "index": "index {images} --output {out}/index.csv",
    "fit": "encoder {made}/index.csv --kind fit --epochs 1 --side 32 {images} --output {out}/fit.safetensors",
    "untrained": "encoder --kind untrained --side 32 {images} --output {out}/untrained.safetensors",
    "import": 'encoder --kind timm --model test_vit --options {{"dynamic_img_size":true}}'
    " --weights {made}/weights.safetensors --output {out}/vit.safetensors",
    "embed": "embed {index} {images} --encoder {made}/fit.safetensors --state {out}/state"
    " --output {out}/embeddings.h5",
    "head": "head {features} --output {out}/head.safetensors",
    "classify": "classify --embeddings {features} --classifier {made}/head.safetensors"
    " --output {out}/probabilities.h5",
    "margins": "margins {features} --output {out}/margins.h5",
    "select": "select {gadc} --epsilon 0.05 --epsilon-unit median --budget 2 --budget 4"
    " --output {out}/subset2.csv --output {out}/subset.csv --diagnostics {out}/diagnostics.csv",
    "select to a tolerance": "select {gadc} --epsilon 0.05 --epsilon-unit median --tolerance 1e-4 --budget 3"
    " --output {out}/subset3.csv --diagnostics {out}/diagnostics3.csv",
    "select as released": "select {gadc} --epsilon 2 --exchange released --confidence candidate --budget 3"
    " --output {out}/subset4.csv --diagnostics {out}/diagnostics4.csv",
    "k-center": "select --features {features} --kind k-center --budget 3 --device {device}"
    " --output {out}/subset5.csv",
    "moments": "moments {features} --output {out}/moments.h5",
    "measure": "measure --features {features} --probabilities {made}/probabilities.h5 {subset}"
    " --everything {made}/moments.h5 --diagnostics {made}/diagnostics.csv"
    " --method gadc --budget 4 --objective gadc --output {out}/measures.csv",
    "latents": "latents {subset} {index} --resolution 32 {images} {vae} --output {out}/latents.h5",
    "captions": "captions {index} --path {made}/t5 --output {out}/captions.h5",
    "patches": "patches {subset} --encoder {made}/vit.safetensors --resolution 32 {images}"
    " --output {out}/patches.h5",
    "train": "train {latents} --captions {made}/captions.h5 --patches {made}/patches.h5 --objective adm"
    " --depth 2 --width 16 --heads 2 --patch 4 --alignment-block 1 --alignment-hidden 16"
    " --steps 4 --batch 4 --microbatch 2 --clip 1 --checkpoint-every 2"
    " --history {out}/history.jsonl --output {out}/generator.safetensors",
    "generate": "generate --weights {made}/generator.safetensors --shard 1-of-1 --images 6 --batch 4"
    " --steps 3 --sampler ddpm {vae} --output {out}/samples.npz",
    "dpm-solver": "generate --weights {made}/generator.safetensors --shard 2-of-2 --images 6"
    " --steps 3 --sampler dpm-solver {vae} --output {out}/more.npz",
    "finetune": "finetune {latents} {subset} --start {made}/generator.safetensors --epochs 2 --batch 4"
    " --inversion ddim --inversion-steps 4 --history {out}/tuned.jsonl --output {out}/tuned.safetensors",
    "finetune as released": "finetune {latents} {subset} --start {made}/generator.safetensors --epochs 1"
    " --batch 4 --inversion code --parameters all --weights raw --ema 0.9"
    " --history {out}/all.jsonl --output {out}/all.safetensors",
    "flow": "train {latents} --objective flow --depth 1 --width 16 --heads 2 --patch 4 --steps 2 --batch 4"
    " --history {out}/flow.jsonl --output {out}/flow.safetensors",
    "euler": "generate --weights {made}/flow.safetensors --shard 1-of-1 --images 6"
    " --steps 3 --sampler euler-maruyama {vae} --output {out}/flow.npz",
    "difficulty": "difficulty {index} --weights {made}/generator.safetensors --resolution 32 {images} {vae}"
    " --state {out}/measured --output {out}/difficulty.h5",
    "reference": "reference {index} --encoder {made}/fit.safetensors --resolution 32 {images}"
    " --state {out}/state --output {out}/reference.h5",
    "detect": "detect {made}/samples.npz --encoder {made}/fit.safetensors --head {made}/fit.safetensors"
    " {index} --output {out}/features.h5",
    "detect by the FID Inception": "detect {made}/samples.npz {index} --encoder {made}/inception.pt"
    " --output {out}/inception.h5",
    "reference batch": "reference-batch --images {made}/images --detector {made}/inception.pt"
    " --resolution 16 --output {out}/batch.h5",
    "ADM's reference batch": "reference-batch --images {made}/batch.npz --detector {made}/inception.pt"
    " --output {out}/adm.h5",
    "score": "score {made}/reference.h5 --features {made}/features.h5 {subset}"
    " --output {out}/scores.csv --pairs {out}/pairs.csv --distances {out}/distances.csv",
    "validation-index": "validation-index {images} --output {out}/validation.csv",
    "student": "learn {learnt} {subset} --recipe dc --output {out}/student.safetensors",
    "relabel": "relabel {images} {index} {subset} --teacher {made}/student.safetensors"
    " --teacher {made}/fit.safetensors --output {out}/labels.safetensors",
    "student of stored labels": "learn {learnt} {subset} --recipe edc --evaluate-every 1 {sgd}"
    " --soft-labels {made}/labels.safetensors --output {out}/stored.safetensors",
    "student of teachers": "learn {learnt} {subset} --recipe dsco-soft --matching-weight 0.1 {sgd}"
    " --teacher {made}/student.safetensors --output {out}/taught.safetensors",
    "student whose colours change by the batch": "learn {learnt} {subset} --recipe minimax --colour batch"
    " --output {out}/batch.safetensors",
    "examine": "examine {images} --validation-index {made}/validation.csv"
    " --weights {made}/student.safetensors --output {out}/accuracy.csv --confusion {out}/confusion.csv",
    "confusion": "confusion {index} {images} --student {made}/student.safetensors --state {out}/state"
    " --output {out}/confusion.h5",
    "surrogate": "learn {learnt32} --recipe igd-surrogate --evaluate-every 1 {sgd}"
    " --no-keep-margin --output {out}/surrogate.safetensors",
    "samples": "synthesise {making} --kind samples --images {out}/samples --output {out}/samples.csv",
    "nopt": "synthesise {making} --kind nopt --iterations 3 --groups 1 --latents {made}/latents.h5"
    " --images {out}/nopt --output {out}/nopt.csv",
    "nopt without data": "synthesise {making} --kind nopt --no-data --templates 3 --iterations 3 --groups 1"
    " --images {out}/free --output {out}/free.csv",
    "igd": "synthesise {making} {surrogate} --kind igd --images {out}/igd --output {out}/igd.csv",
    "otg": "synthesise {making} {surrogate} --kind otg --latents {made}/latents.h5"
    " --images {out}/otg --output {out}/otg.csv",
    "embed-validation": "embed-validation --index {made}/validation.csv {images}"
    " --encoder {made}/fit.safetensors --state {out}/state --output {out}/held.h5",
    "appraise": "appraise {subset} --features {features} --held-out {made}/held.h5"
    " --encoder {made}/fit.safetensors --output {out}/appraisal.csv",
    "score sets of images": "score {made}/images --samples {made}/others --detector {made}/inception.pt"
    " --output {out}/sets.csv",
}
PARTS = {
    "images": "--source imagefolder --root {made}/images --validation 0.25",
    "vae": "--kind kl --path {made}/vae",
    "index": "--index {made}/index.csv",
    "subset": "--subset {made}/subset.csv",
    "features": "{made}/embeddings.h5",
    "latents": "--latents {made}/latents.h5 --state-folder {out}/states",
    "learnt": "--source imagefolder --root {made}/images --validation 0.25 --index {made}/index.csv"
    " --validation-index {made}/validation.csv --resolution 16 --depth 2 --width 8 --batch 4 --epochs 2",
    "learnt32": "--source imagefolder --root {made}/images --validation 0.25 --index {made}/index.csv"
    " --validation-index {made}/validation.csv --resolution 32 --depth 2 --width 8 --batch 4 --epochs 2",
    "making": "--index {made}/index.csv --weights {made}/generator.safetensors --steps 6 --budget 2"
    " --state {out}/state --autoencoder-kind kl --autoencoder-path {made}/vae --made {out}",
    "surrogate": "--surrogate-weights {made}/surrogate.safetensors --reference-index {made}/index.csv"
    " --dataset-root {made}/images --dataset-validation 0.25 --checkpoints [0,1]",
    # AdamW divides even the gradient of a bias before a normalisation, which is rounding alone
    "sgd": "--optimiser sgd --learning-rate 0.01",
    "gadc": "--features {made}/embeddings.h5 --probabilities {made}/probabilities.h5 --kind gadc"
    " --device {device}",
}
# These ask for no device: they work on features from a file, or on what is small.
ON_THE_PROCESSOR = {"index", "fit", "untrained", "import", "head", "classify", "margins", "k-center"}
ON_THE_PROCESSOR |= {"moments", "measure", "score", "validation-index"}
ROUNDED = {
    "train",
    "generate",
    "dpm-solver",
    "flow",
    "euler",
    "difficulty",
    "finetune",
    "finetune as released",
    *("samples", "nopt", "nopt without data", "igd", "otg"),
}  # these compute in bfloat16


def run(label: str, made: Path, out: Path, device: str) -> None:
    """Run a stage as its command line does."""
    places = {"made": made, "out": out, "device": device}
    parts = {name: part.format(**places) for name, part in PARTS.items()}
    name, *words = STAGES[label].format(**places, **parts).split()
    module = import_module(f"condense.{COMMANDS[name]}")
    call(getattr(module, name.replace("-", "_")), *words)


def draw(folder: Path, seed: int) -> None:
    random = np.random.default_rng(seed)
    for number, name in enumerate(CLASSES):
        (folder / name).mkdir(parents=True)
        for i in range(COUNT):
            pixels = random.normal(60 + 60 * number, 40, (SIDE, SIDE + 4, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """The tiny study, every stage run on the processor."""
    import timm
    from diffusers import AutoencoderKL

    folder = tmp_path_factory.mktemp("made")
    draw(folder / "images", 0)
    draw(folder / "others", 1)
    write_script(folder / "inception.pt")
    pixels = np.random.default_rng(2).integers(0, 256, (12, 20, 20, 3), dtype=np.uint8)
    write_samples(folder / "batch.npz", [(pixels, None)], len(pixels))
    write_text_encoder(folder / "t5", ["tench", "cassette", "English", "player"])
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", pretrained=False).state_dict(), folder / "weights.safetensors")
    widths = {"block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 4}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    AutoencoderKL(**widths, **blocks, scaling_factor=0.5).save_pretrained(folder / "vae")
    for label in STAGES:
        run(label, made=folder, out=folder, device="cpu")
    return folder


@pytest.fixture
def device(monkeypatch) -> Iterator[Pretended]:
    with pretend(monkeypatch) as pretended:
        yield pretended


EXACT = ("embed", "reference", "detect", "detect by the FID Inception", "reference batch", "patches")
EXACT += ("select", "select to a tolerance", "select as released", "score sets of images")


@pytest.mark.parametrize("label", EXACT)
def test_nothing_that_is_compared_is_rounded_to_tf32(label, made, device, tmp_path) -> None:
    torch.set_float32_matmul_precision("high")  # as another part of a program may have left it
    run(label, made=made, out=tmp_path, device="cuda")
    assert device.operations and not device.rounded
    assert torch.get_float32_matmul_precision() == "high" and torch.backends.cudnn.allow_tf32


def arrays(path: Path) -> dict[str, np.ndarray]:
    """Numbers in a file, by name."""
    if path.suffix == ".csv":
        table = pd.read_csv(path)
        return {name: table[name].to_numpy() for name in table if "seconds" not in name}
    if path.suffix == ".safetensors":
        return load_file(path)
    if path.suffix == ".npz":
        return dict(np.load(path))
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, part: found.update({name: part[()]} if isinstance(part, h5py.Dataset) else {})
        )
    return found


def test_the_stand_in_refuses_what_a_gpu_refuses(device) -> None:
    there, here = torch.ones(3, device="cuda"), torch.ones(3)
    for convert in (torch.Tensor.numpy, np.asarray, np.array, lambda values: np.stack([values])):
        with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor"):
            convert(there)
    for mixed in (torch.add, torch.dot, lambda *pair: torch.cat(pair), lambda a, b: b[a.long()]):
        with pytest.raises(RuntimeError, match="same device"):
            mixed(there, here)
    with pytest.raises(RuntimeError, match="generator"):
        torch.randn(3, device="cuda", generator=torch.Generator())
    assert there.device.type == (there + 1).device.type == here.to("cuda").device.type == "cuda"
    assert there.cpu().numpy().sum() == 3 and not device.waits[1:]


def test_every_module_that_asks_for_a_device_runs_here() -> None:
    asking = {dotted(path) for path in MODULES if re.search(r"cuda\.is_available|\"cuda\"", path.read_text())}
    reached = {COMMANDS[words.split()[0]] for words in STAGES.values()}
    parts = {"encoders.encoder", "encoders.detectors", "training.examples", "training.trainer"}
    parts |= {"training.workers", "training.history", "selection.objective", "selection.gadc", "base.compile"}
    parts |= {"students.networks", "synthesis.chain"}
    assert asking <= reached | parts


@pytest.mark.parametrize("label", STAGES)
def test_a_stage_on_the_device_leaves_what_it_leaves_on_the_processor(label, made, device, tmp_path) -> None:
    run(label, made=made, out=tmp_path, device="cuda")
    assert (device.operations > 0) == (label not in ON_THE_PROCESSOR)
    files = [path for path in tmp_path.iterdir() if path.suffix in (".csv", ".h5", ".npz", ".safetensors")]
    assert files
    for path in files:
        expected = arrays(made / path.name)
        found = arrays(path)
        assert found.keys() == expected.keys()
        for name, values in found.items():
            if not np.issubdtype(values.dtype, np.number):
                assert values.tolist() == expected[name].tolist()
            elif label in ROUNDED:
                assert values.shape == expected[name].shape and np.isfinite(values).all(), name
            else:
                np.testing.assert_allclose(values, expected[name], rtol=1e-4, atol=1e-5, err_msg=name)
