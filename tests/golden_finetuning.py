"""What the released codes of Minimax diffusion and IMS3 computed, and their network with scale factors."""

import json
from functools import cache
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from condense.diffusion.difffit import scaled_blocks
from condense.diffusion.transformer import Size, Transformer
from golden_networks import weights_of

FOLDER = Path(__file__).parent / "golden" / "finetuning"


@cache
def read(name: str) -> dict[str, Tensor]:
    """Tensors of a golden file."""
    return load_file(FOLDER / f"{name}.safetensors")


def names() -> dict[str, dict]:
    """Which parameters DiffFit trains and freezes, and how many, by depth or size."""
    return json.loads((FOLDER / "difffit.json").read_text())


def scaled() -> Transformer:
    """The small DiT of dit_difffit.safetensors."""
    weights = weights_of(read("dit_difffit"), "weights.")
    sizes = {"resolution": 8, "channels": 4, "classes": 10, "size": Size(2, 48, 4), "patch": 2}
    network = Transformer(**sizes, learn_sigma=True, scaled_blocks=scaled_blocks(weights))
    network.load_state_dict(weights)
    return network
