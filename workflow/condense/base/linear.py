"""Matrix products that are NumPy's on a CPU: the same bits on every processor, at full speed.

PyTorch's own come from Intel's MKL, whose only kernels that agree between makers are those of its mode
COMPATIBLE, which use a quarter of a processor's width. OpenBLAS, pinned to one kernel, agrees and does not.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

ALONE = ContextVar("alone", default=False)


@contextmanager
def each_alone() -> Iterator[None]:
    """Multiply each item of a batch by itself on a CPU: its bits are then the same in a batch of any size.

    A product of all items together chooses its kernels by how many there are. Widths are multiples of 16, of
    which PyTorch's activations leave no remainder to slower code with other bits.
    """
    token = ALONE.set(True)
    try:
        yield
    finally:
        ALONE.reset(token)


def matmul(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """`torch.matmul` of tensors that are not differentiated; like it, of infinite ones without a warning."""
    if not left.is_cpu:
        return torch.matmul(left, right, out=out)
    with np.errstate(all="ignore"):
        made = np.matmul(left.numpy(), right.numpy(), out=None if out is None else out.numpy())
    return torch.from_numpy(made)


class Linear(nn.Linear):
    """`nn.Linear`; on another device than a CPU, and in less than 32 bits, the same computation too."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., n] -> [..., m]; where `each_alone` the first dimension is that of the items."""
        if (
            not input.is_cpu
            or input.dtype not in (torch.float32, torch.float64)
            or torch.is_autocast_enabled("cpu")
        ):
            return super().forward(input)
        items = (len(input), -1) if ALONE.get() else (-1,)
        made = _Product.apply(input.reshape(*items, self.in_features), self.weight)
        made = made if self.bias is None else made + self.bias
        return made.view(*input.shape[:-1], self.out_features)


class _Product(torch.autograd.Function):
    """x [b, n] or [items, b, n], w [m, n] -> x w', its last dimension m."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return torch.from_numpy(x.numpy() @ w.numpy().T)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, w = ctx.saved_tensors
        to_x, to_w = ctx.needs_input_grad
        rows = grad.reshape(-1, grad.shape[-1]).numpy()
        return (
            torch.from_numpy(grad.numpy() @ w.numpy()) if to_x else None,
            torch.from_numpy(rows.T @ x.reshape(-1, x.shape[-1]).numpy()) if to_w else None,
        )
