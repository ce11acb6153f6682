"""Autoencoders work through a batch in pieces that fit the memory, to the same numbers."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from condense.diffusion import autoencoders
from condense.diffusion.autoencoders import Diffusers


def small(kind: str) -> Diffusers:
    """Seeded autoencoder with two levels of 8 and 16 channels."""
    from diffusers import AutoencoderKL, AutoencoderTiny

    torch.manual_seed(0)
    if kind == "tiny":
        channels = {"encoder_block_out_channels": (16, 16), "decoder_block_out_channels": (16, 16)}
        return Diffusers(AutoencoderTiny(**channels, num_encoder_blocks=(1, 1), num_decoder_blocks=(1, 1)))
    blocks = {"down_block_types": ("DownEncoderBlock2D",) * 2, "up_block_types": ("UpDecoderBlock2D",) * 2}
    return Diffusers(
        AutoencoderKL(block_out_channels=(8, 16), norm_num_groups=4, latent_channels=4, **blocks)
    )


@pytest.mark.parametrize("kind", ["kl", "tiny"])
def test_pieces_have_the_numbers_of_the_whole_batch(kind, monkeypatch):
    model, seen = small(kind), []
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mean, deviation = model.encode(images)
    whole = model.decode(mean)
    assert whole.shape == images.shape and (deviation is None) == (kind == "tiny")
    monkeypatch.setattr(autoencoders, "MEMORY", 2 * 16 * 16 * 3 * 4 * 16)  # two images
    for part in (model.model.encoder, model.model.decoder):
        part.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    mean2, deviation2 = model.encode(images)
    assert_close(mean2, mean, rtol=1e-6, atol=3e-6)
    if deviation is not None:
        assert_close(deviation2, deviation, rtol=1e-6, atol=3e-6)
    assert_close(model.decode(mean), whole, rtol=1e-6, atol=3e-6)
    assert seen == [2, 2, 1, 2, 2, 1]


class Sized(nn.Module):
    """Stands for Stable Diffusion's autoencoder: has its levels, and notes how many latents it decodes."""

    def __init__(self) -> None:
        super().__init__()
        self.config = SimpleNamespace(block_out_channels=(128, 256, 512, 512), scaling_factor=0.18215)
        self.seen: list[int] = []

    def decode(self, latents: Tensor) -> SimpleNamespace:
        self.seen.append(len(latents))
        return SimpleNamespace(sample=latents)


@pytest.mark.parametrize(("side", "most"), [(32, 10), (64, 2), (128, 1)])
def test_a_batch_is_decoded_in_two_gibibytes(side, most):
    """An image of 256 pixels takes 192 MiB; one that is larger than the bound is decoded alone."""
    model = Sized()
    assert len(Diffusers(model).decode(torch.zeros(11, 4, side, side))) == 11
    assert max(model.seen) == most and sum(model.seen) == 11
