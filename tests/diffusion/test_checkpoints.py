"""Checkpoints come in from the official format and go out to diffusers'; bad ones are one sentence."""

import argparse
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.testing import assert_close

from commands import call
from condense.base.errors import InputError
from condense.diffusion.checkpoints import (
    export_diffusers,
    export_generator,
    import_checkpoint,
    load_checkpoint,
    read_checkpoint,
    to_diffusers,
)
from condense.diffusion.generator import read_generator
from condense.diffusion.transformer import Alignment, Size, Transformer
from golden_networks import GOLDEN, assert_golden, captions, conditioned, dit, golden, small, weights_of

INPUTS = torch.randn(4, 4, 8, 8, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 3, 9, 10])


def official() -> dict[str, Tensor]:
    return weights_of(golden("dit")[0], "weights.")


def fresh() -> Transformer:
    size = Size(depth=3, width=48, heads=4)
    return Transformer(resolution=8, channels=4, classes=10, size=size, learn_sigma=True).eval()


def old(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: torch.zeros_like(value) for name, value in weights.items()}


@pytest.mark.parametrize(
    "content",
    [
        lambda weights: weights,
        lambda weights: {"model": old(weights), "ema": weights, "opt": {}, "args": argparse.Namespace(lr=1)},
        lambda weights: {"model": weights},
        lambda weights: {f"module.{name}": value for name, value in weights.items()},
        lambda weights: {f"module._orig_mod.{name}": value for name, value in weights.items()},
        lambda weights: {f"_orig_mod.module.{name}": value for name, value in weights.items()},
    ],
    ids=["weights", "script", "model", "ddp", "ddp of compiled", "compiled ddp"],
)
def test_official_checkpoints_load(tmp_path, content):
    values, _ = golden("dit")
    path = tmp_path / "DiT.pt"
    torch.save(content(official()), path)
    network = fresh()
    load_checkpoint(network, path)
    output = network(values["x"], values["t"], values["y"])
    assert_golden(output, values["output"])


def test_safetensors_load(tmp_path):
    save_file(official(), tmp_path / "DiT.safetensors")
    network = fresh()
    load_checkpoint(network, tmp_path / "DiT.safetensors")
    assert torch.equal(network.blocks[2].mlp.fc1.weight, official()["blocks.2.mlp.fc1.weight"])


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda w: w.pop("blocks.1.attn.qkv.bias"), "has no blocks.1.attn.qkv.bias"),
        (lambda w: w.update({"blocks.3.attn.qkv.bias": torch.zeros(3)}), "has blocks.3.attn.qkv.bias"),
        (lambda w: w.update({"pos_embed": torch.zeros(1, 4, 48)}), r"pos_embed of shape \(1, 4, 48\)"),
    ],
    ids=["missing", "unknown", "shape"],
)
def test_a_checkpoint_of_another_network_is_refused_by_name(tmp_path, change, part):
    weights, network = official(), fresh()
    change(weights)
    before = network.state_dict()["blocks.0.attn.qkv.weight"].clone()
    save_file(weights, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=part) as raised:
        load_checkpoint(network, tmp_path / "other.safetensors")
    assert "other.safetensors" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert torch.equal(network.state_dict()["blocks.0.attn.qkv.weight"], before)


class Hostile:
    """Unpickled carelessly, makes a folder."""

    def __init__(self, folder: str) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def test_code_in_a_checkpoint_does_not_run(tmp_path):
    torch.save({"ema": Hostile(str(tmp_path / "made"))}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=r"bad\.pt is not a checkpoint of tensors"):
        read_checkpoint(tmp_path / "bad.pt")
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", ["cut.pt", "cut.safetensors"])
@pytest.mark.parametrize("kept", [0, 100, 50_000])
def test_a_damaged_checkpoint_is_named(tmp_path, name, kept):
    whole = (tmp_path / "whole").with_suffix(Path(name).suffix)
    (torch.save if name.endswith("pt") else save_file)(official(), whole)
    (tmp_path / name).write_bytes(whole.read_bytes()[:kept])
    with pytest.raises(InputError, match=name) as raised:
        read_checkpoint(tmp_path / name)
    assert "\n" not in str(raised.value)


def test_a_missing_or_foreign_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"absent\.pt does not exist"):
        read_checkpoint(tmp_path / "absent.pt")
    torch.save([torch.zeros(3)], tmp_path / "list.pt")
    with pytest.raises(InputError, match=r"list\.pt does not hold tensors by name"):
        read_checkpoint(tmp_path / "list.pt")
    assert len(read_checkpoint(GOLDEN / "dit.safetensors")) > 50


@pytest.mark.parametrize("patch", [1, 2])
def test_export_equals_diffusers(tmp_path, patch):
    from diffusers import DiTTransformer2DModel

    changes = {"patch": patch, "classes": 10, "learn_sigma": True, "size": Size(3, 48, 4)}
    network = small(**changes, alignment=Alignment(1, 12, 6)).eval()
    export_diffusers(network, tmp_path)
    theirs, report = DiTTransformer2DModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(report.values())
    x, y = INPUTS
    with torch.inference_mode():
        start = torch.zeros(4, dtype=torch.long)  # at time 0 the spacing of frequencies does not matter
        assert_golden(theirs(x, start, y).sample, network(x, start, y))
        times = torch.tensor([1, 20, 500, 999])
        assert (theirs(x, times, y).sample - network(x, times, y)).abs().max() > 1e-2
        for block in theirs.transformer_blocks:
            block.norm1.emb.time_proj.downscale_freq_shift = 0
        assert_golden(theirs(x, times, y).sample, network(x, times, y))


def test_export_of_a_flow_network_has_as_many_outputs_as_channels():
    config, weights = to_diffusers(dit())
    assert (config["in_channels"], config["out_channels"]) == (4, 8)
    config, weights = to_diffusers(small())
    assert (config["in_channels"], config["out_channels"]) == (4, 4)
    assert weights["proj_out_2.weight"].shape == (16, 32)


def test_an_official_checkpoint_becomes_a_generator_of_the_package(tmp_path):
    save_file(official(), tmp_path / "dit.safetensors")
    with pytest.raises(InputError, match="give --heads"):
        call(
            import_checkpoint,
            "--checkpoint",
            tmp_path / "dit.safetensors",
            "--output",
            tmp_path / "g.safetensors",
        )
    words = ["--checkpoint", tmp_path / "dit.safetensors", "--heads", 4]
    call(import_checkpoint, *words, "--output", tmp_path / "g.safetensors")
    network, captioned, about = read_generator(tmp_path / "g.safetensors", torch.device("cpu"))
    assert (captioned, about.classes, about.shape) == (None, 10, (4, 8, 8))
    x, y = INPUTS
    time = torch.tensor([1, 20, 500, 999])
    expected = fresh()
    expected.load_state_dict(official())
    assert_close(network(x, time, y), expected(x, time, y))
    call(export_generator, "--weights", tmp_path / "g.safetensors", "--output", tmp_path / "diffusers")
    assert (tmp_path / "diffusers/config.json").is_file()


def test_what_is_no_checkpoint_is_not_imported(tmp_path):
    save_file({"a": torch.zeros(3)}, tmp_path / "other.safetensors")
    words = ["--checkpoint", tmp_path / "other.safetensors", "--output", tmp_path / "g.safetensors"]
    with pytest.raises(InputError, match="is no DiT checkpoint"):
        call(import_checkpoint, *words)


def test_captioned_networks_do_not_fit_diffusers(tmp_path):
    assert captions().any()
    with pytest.raises(InputError, match="takes no captions"):
        export_diffusers(conditioned("sit"), tmp_path)
    assert list(tmp_path.iterdir()) == []
