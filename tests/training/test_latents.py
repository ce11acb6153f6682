"""Latents are the autoencoder's posterior of image and mirror image, finite and of the right scale."""

import csv
import re

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from commands import call
from condense.base.errors import InputError
from condense.training.data import read_latents
from condense.training.latents import latents


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Six pictures of three classes with their table, and seeded autoencoders of both kinds."""
    from diffusers import AutoencoderKL, AutoencoderTiny

    folder = tmp_path_factory.mktemp("latents")
    random = np.random.default_rng(0)
    with (folder / "index.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "class", "class_index", "bytes"])
        for number, name in enumerate("abc"):
            (folder / name).mkdir()
            for i in range(2):
                pixels = np.kron(random.integers(0, 256, (4, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
                Image.fromarray(pixels).save(folder / name / f"{i}.png")
                table.writerow([f"{name}/{i}.png", name, number, 1])
    torch.manual_seed(0)
    widths = {"block_out_channels": (8, 8), "norm_num_groups": 4, "latent_channels": 4}
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    AutoencoderKL(**widths, **blocks, scaling_factor=0.5).save_pretrained(folder / "kl")
    layers = {"num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    channels = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8)}
    AutoencoderTiny(**layers, **channels, upsampling_scaling_factor=2).save_pretrained(folder / "tiny")
    return folder


def encode(folder, tmp_path, *options, root=None):
    files = ["--subset", folder / "index.csv", "--index", folder / "index.csv", "--output", tmp_path / "z.h5"]
    said = call(latents, *files, "--root", root or folder, "--resolution", 32, *options)
    with (folder / "index.csv").open() as file:
        names = [row["path"] for row in csv.DictReader(file)]
    return read_latents(tmp_path / "z.h5"), names, said


def pixels_of(folder, name):
    """[3, 32, 32] in [-1, 1] of the centre."""
    return torch.from_numpy(np.array(Image.open(folder / name))[:, 4:36]).permute(2, 0, 1) / 127.5 - 1


def test_pixels_are_their_own_latents(folder, tmp_path):
    latents, names, said = encode(folder, tmp_path)
    assert latents.paths == names and latents.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert latents.classes == 3 and latents.shape == (3, 32, 32) and latents.deviation is None
    clean = pixels_of(folder, names[3])
    torch.testing.assert_close(latents.mean[3, 0].float(), clean, atol=1e-3, rtol=0)
    assert torch.equal(latents.mean[3, 1], latents.mean[3, 0].flip(2))
    assert "PSNR" in said


def test_latents_are_mean_and_deviation_of_the_posterior_times_the_scale(folder, tmp_path):
    from diffusers import AutoencoderKL

    latents, names, _ = encode(folder, tmp_path, "--kind", "kl", "--path", folder / "kl")
    model = AutoencoderKL.from_pretrained(folder / "kl")
    clean = pixels_of(folder, names[4])
    with torch.inference_mode():
        posterior = model.encode(torch.stack([clean, clean.flip(2)])).latent_dist
    torch.testing.assert_close(latents.mean[4].float(), posterior.mean * 0.5, atol=2e-3, rtol=2e-3)
    torch.testing.assert_close(latents.deviation[4].float(), posterior.std * 0.5, atol=2e-3, rtol=2e-3)
    assert not torch.allclose(
        latents.mean[4, 1], latents.mean[4, 0].flip(2), atol=1e-3
    )  # why both are stored


def test_samples_are_drawn_from_the_posterior(folder, tmp_path):
    latents, *_ = encode(folder, tmp_path, "--kind", "kl", "--path", folder / "kl")
    many, shape = torch.zeros(2000, dtype=torch.long), (2000, *latents.shape)
    drawn = latents.sample(many, many + 1, torch.randn(shape, generator=torch.Generator().manual_seed(0)))
    mean, deviation = latents.mean[0, 1].float(), latents.deviation[0, 1].float()
    assert ((drawn.mean(0) - mean).abs() < 5 * deviation / 2000**0.5).all()
    torch.testing.assert_close(drawn.std(0), deviation, atol=0, rtol=0.1)


def test_a_deterministic_autoencoder_has_no_deviation(folder, tmp_path):
    latents, _, said = encode(folder, tmp_path, "--kind", "tiny", "--path", folder / "tiny")
    assert latents.deviation is None and latents.shape == (4, 16, 16)
    assert float(re.search(r"PSNR of the round trip (-?[\d.]+) dB", said)[1]) < 30  # seeded, not trained


def test_a_latent_that_is_not_finite_names_the_images(folder, tmp_path):
    from safetensors.torch import load_file, save_file

    broken = tmp_path / "broken"
    broken.mkdir()
    for path in (folder / "kl").iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    weights = load_file(broken / "diffusion_pytorch_model.safetensors")
    weights["encoder.conv_in.bias"][0] = float("inf")
    save_file(weights, broken / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"a/0\.png.*not finite"):
        encode(folder, tmp_path, "--kind", "kl", "--path", broken)
    assert not (tmp_path / "z.h5").exists()


@pytest.mark.parametrize("path", ["nowhere", "org/name"])
def test_a_missing_autoencoder_is_one_sentence(folder, tmp_path, path):
    with pytest.raises(InputError, match=f"autoencoder path '{path}' is not a folder"):
        encode(folder, tmp_path, "--kind", "kl", "--path", path)


def test_a_folder_without_weights_is_one_sentence(folder, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="is no kl autoencoder"):
        encode(folder, tmp_path, "--kind", "kl", "--path", tmp_path / "empty")


def test_a_truncated_file_of_latents_is_one_sentence(folder, tmp_path):
    encode(folder, tmp_path)
    (tmp_path / "z.h5").write_bytes((tmp_path / "z.h5").read_bytes()[:-1000])
    with pytest.raises(InputError, match=r"z\.h5 is not a whole file of latents"):
        read_latents(tmp_path / "z.h5")


def test_an_empty_subset_keeps_the_shape(folder, tmp_path):
    (tmp_path / "none.csv").write_text("path,class,class_index,rank\n")
    words = [
        "--index",
        folder / "index.csv",
        "--root",
        folder,
        "--resolution",
        32,
        "--output",
        tmp_path / "z.h5",
    ]
    call(latents, "--subset", tmp_path / "none.csv", *words)
    with h5py.File(tmp_path / "z.h5") as file:
        assert file["mean"].shape == (0, 2, 3, 32, 32)
    assert read_latents(tmp_path / "z.h5").classes == 3


def test_real_photographs_survive_the_real_autoencoder(real_data, tmp_path):
    root = real_data / "imagenette_train"
    names = sorted(str(path.relative_to(root)) for path in root.glob("*/*.JPEG"))[::4000]
    lines = [f"{name},{name.split('/')[0]},0,1" for name in names]
    (tmp_path / "index.csv").write_text("path,class,class_index,bytes\n" + "\n".join(lines) + "\n")
    files = ["--subset", tmp_path / "index.csv", "--index", tmp_path / "index.csv", "--root", root]
    autoencoder = ["--kind", "tiny", "--path", real_data / "weights" / "taesd"]
    said = call(latents, *files, *autoencoder, "--resolution", 256, "--output", tmp_path / "z.h5")
    assert "PSNR" in said, said
    scale, decibel = re.search(r"square ([\d.]+) .* trip ([\d.]+) dB", said).groups()
    assert 0.6 < float(scale) < 1.3 and float(decibel) > 22
