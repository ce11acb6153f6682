"""Arithmetic of float32: what a GPU or a setting elsewhere would round to fewer bits."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_precision() -> Iterator[None]:
    """Keep TF32 and bfloat16 out of float32 products and convolutions; also a decorator.

    By default PyTorch rounds the inputs of convolutions on a GPU to 10 bits, and after
    `set_float32_matmul_precision` those of products too.
    """
    products = torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(products)
        torch.backends.cudnn.allow_tf32 = convolutions
