"""What a result was computed on, for those who compare results."""

import os

import torch

from condense.base.arithmetic import VARIABLE
from condense.base.processor import processor


def describe() -> str:
    """What decides the bits that a CPU computes: kernels, threads, processor, version of PyTorch."""
    kernels = f"{os.environ.get(VARIABLE, 'native')} {torch.backends.cpu.get_cpu_capability()}"
    threads = f"{torch.get_num_threads()} thread{'s' * (torch.get_num_threads() > 1)}"
    return f"{kernels}, {threads}, {processor()}, torch {torch.__version__}"
