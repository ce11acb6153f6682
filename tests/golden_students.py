"""Values that the released codes of students' networks, recipes and losses computed, and how to compare."""

import json
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor
from torch.testing import assert_close

FOLDER = Path(__file__).parent / "golden" / "students"


def read(name: str) -> tuple[dict[str, Tensor], dict]:
    """Tensors of a golden file and its settings."""
    path = FOLDER / f"{name}.safetensors"
    with safe_open(path, "pt") as file:
        return load_file(path), json.loads((file.metadata() or {}).get("settings", "{}"))


def near(found: Tensor, expected: Tensor, relative: float) -> None:
    """Equal up to a fraction of the expected tensor's largest value."""
    assert_close(found, expected, rtol=0, atol=relative * expected.abs().max().item())
