"""Image autoencoders behind one face: pixels, AutoencoderKL and AutoencoderTiny of diffusers."""

from pathlib import Path

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.config.settings import Autoencoder

MEMORY = 2 << 30  # bytes: 10 images of 256 pixels at a time with Stable Diffusion's autoencoder, 2 of 512


class Pixels:
    """The identity: images are their own latents."""

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images [b, 3, h, w] in [-1, 1] -> themselves, without spread."""
        return images, None

    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> images [b, 3, h, w], about in [-1, 1]."""
        return latents


class Diffusers:
    """An autoencoder of diffusers; latents are scaled so that a generator sees about unit variance.

    It works through a batch in pieces whose activations fit `MEMORY`, at least an image at a time.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model.eval().requires_grad_(False)
        self.scale = float(getattr(model.config, "scaling_factor", 1.0))
        widths = model.config.block_out_channels
        self.factor = 2 ** (len(widths) - 1)  # pixels per latent pixel, along a side
        # measured: at its widest three float32 maps of full resolution, as wide as the second level
        self.bytes_per_pixel = 3 * 4 * max(widths[:2])

    @torch.inference_mode()
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images [b, 3, h, w] in [-1, 1] -> posterior mean and standard deviation [b, c, h', w'], scaled."""
        encoded = [self.model.encode(piece) for piece in self._pieces(images, 1)]
        if not hasattr(encoded[0], "latent_dist"):
            return torch.cat([piece.latents for piece in encoded]) * self.scale, None
        posteriors = [piece.latent_dist for piece in encoded]
        mean, deviation = (torch.cat([getattr(p, name) for p in posteriors]) for name in ("mean", "std"))
        return mean * self.scale, deviation * self.scale

    def decode(self, latents: Tensor) -> Tensor:
        """Latents [b, c, h', w'] -> images [b, 3, h, w], about in [-1, 1]; differentiable if they are."""
        with torch.inference_mode(not latents.requires_grad):
            pieces = self._pieces(latents / self.scale, self.factor)
            return torch.cat([self.model.decode(piece).sample for piece in pieces])

    def _pieces(self, batch: Tensor, factor: int) -> tuple[Tensor, ...]:
        """Parts of a batch that fit the memory; an image has `factor` times the pixels of its sides."""
        pixels = factor**2 * batch.shape[2] * batch.shape[3]
        return batch.split(max(1, MEMORY // (pixels * self.bytes_per_pixel)))


def load(autoencoder: Autoencoder, device: torch.device) -> Pixels | Diffusers:
    """Load an autoencoder from a local folder or the hub, without executing code; no path is pixel space."""
    if not autoencoder.path:
        return Pixels()
    import diffusers

    kinds = {"kl": diffusers.AutoencoderKL, "tiny": diffusers.AutoencoderTiny}
    if not Path(autoencoder.path).is_dir() and not autoencoder.revision:
        raise InputError(
            f"autoencoder path '{autoencoder.path}' is not a folder; download the weights there, "
            "or give a name on the hub together with its revision (a commit)."
        )
    try:
        model = kinds[autoencoder.kind].from_pretrained(
            autoencoder.path, revision=autoencoder.revision, use_safetensors=True
        )
    except (OSError, ValueError) as error:
        raise InputError(
            f"'{autoencoder.path}' is no {autoencoder.kind} autoencoder ({str(error).splitlines()[0]}); "
            "check autoencoders.*.path, which needs config.json and a safetensors file."
        ) from None
    return Diffusers(model.to(device, memory_format=torch.channels_last))  # convolutions are faster so
