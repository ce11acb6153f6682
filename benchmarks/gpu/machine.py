"""What a GPU can do at best, and the seconds that operations and bytes take on it."""

import platform
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Machine:
    """Peaks of a GPU by its data sheet: dense operations per second by arithmetic, bytes per second."""

    name: str
    bf16: float
    tf32: float
    fp32: float
    fp64: float
    bandwidth: float

    def seconds(self, operations: float = 0, arithmetic: str = "bf16", moved: float = 0) -> float:
        """Least seconds of so many operations and bytes, the one after the other."""
        return operations / getattr(self, arithmetic) + moved / self.bandwidth


H200 = Machine("H200", bf16=989e12, tf32=495e12, fp32=67e12, fp64=67e12, bandwidth=4.8e12)
MACHINES = (
    H200,
    Machine("H100", bf16=989e12, tf32=495e12, fp32=67e12, fp64=67e12, bandwidth=3.35e12),
    Machine("A100", bf16=312e12, tf32=156e12, fp32=19.5e12, fp64=19.5e12, bandwidth=2.04e12),
)


def machine_of(device: torch.device) -> Machine:
    """Peaks of a device, found by its name; the H200's where it is another, as a CPU is."""
    name = name_of(device)
    return next((machine for machine in MACHINES if machine.name in name), H200)


def name_of(device: torch.device) -> str:
    """Name of a device."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def versions() -> str:
    """Versions of what the figures depend on."""
    cuda = f", CUDA {torch.version.cuda}" if torch.version.cuda else ""
    return f"Python {platform.python_version()}, torch {torch.__version__}{cuda}"
