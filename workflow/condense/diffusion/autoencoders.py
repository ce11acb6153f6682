"""Image autoencoders behind one face: pixels, AutoencoderKL and AutoencoderTiny of diffusers."""

from pathlib import Path

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.config.settings import Autoencoder


class Pixels:
    """The identity: images are their own latents."""

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images [b, 3, h, w] in [-1, 1] -> themselves, without spread."""
        return images, None

    def decode(self, latents: Tensor) -> Tensor:
        """Latents -> images [b, 3, h, w], about in [-1, 1]."""
        return latents


class Diffusers:
    """An autoencoder of diffusers; latents are scaled so that a generator sees about unit variance."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.model = model.eval().requires_grad_(False)
        self.scale = float(getattr(model.config, "scaling_factor", 1.0))

    @torch.inference_mode()
    def encode(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images [b, 3, h, w] in [-1, 1] -> posterior mean and standard deviation [b, c, h', w'], scaled."""
        encoded = self.model.encode(images)
        if hasattr(encoded, "latent_dist"):
            return encoded.latent_dist.mean * self.scale, encoded.latent_dist.std * self.scale
        return encoded.latents * self.scale, None

    @torch.inference_mode()
    def decode(self, latents: Tensor) -> Tensor:
        """Latents [b, c, h', w'] -> images [b, 3, h, w], about in [-1, 1]."""
        return self.model.decode(latents / self.scale).sample


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
