"""Linear layers whose products on a CPU are NumPy's: the same bits on every processor, at full speed.

PyTorch's own come from Intel's MKL, whose only kernels that agree between makers are those of its mode
COMPATIBLE, which use a quarter of a processor's width. OpenBLAS, pinned to one kernel, agrees and does not.
"""

from typing import Any

import torch
from torch import Tensor, nn


class Linear(nn.Linear):
    """`nn.Linear`; on another device than a CPU, and in less than 32 bits, the same computation too."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., n] -> [..., m]."""
        if (
            not input.is_cpu
            or input.dtype not in (torch.float32, torch.float64)
            or torch.is_autocast_enabled("cpu")
        ):
            return super().forward(input)
        made = _Product.apply(input.reshape(-1, self.in_features), self.weight)
        made = made if self.bias is None else made + self.bias
        return made.view(*input.shape[:-1], self.out_features)


class _Product(torch.autograd.Function):
    """x [b, n], w [m, n] -> x w' [b, m]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return torch.from_numpy(x.numpy() @ w.numpy().T)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, w = ctx.saved_tensors
        to_x, to_w = ctx.needs_input_grad
        grad = grad.numpy()
        return (
            torch.from_numpy(grad @ w.numpy()) if to_x else None,
            torch.from_numpy(grad.T @ x.numpy()) if to_w else None,
        )
