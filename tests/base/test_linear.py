"""A linear layer computes what PyTorch's does, forwards and backwards, wherever its input lies."""

import pytest
import torch
from torch import nn

from condense.base.linear import Linear, matmul


@pytest.mark.parametrize("shape", [(7,), (1, 7), (3, 5, 7)], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_values_and_gradients_are_those_of_pytorch(shape, bias):
    torch.manual_seed(0)
    ours = Linear(7, 4, bias=bias).double()
    theirs = nn.Linear(7, 4, bias=bias).double()
    theirs.load_state_dict(ours.state_dict())
    x = torch.randn(*shape, dtype=torch.float64)
    found = []
    for layer in (ours, theirs):
        given = x.clone().requires_grad_()
        made = layer(given)
        made.square().sum().backward()
        found.append([made.detach(), given.grad, *(weight.grad for weight in layer.parameters())])
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, atol=1e-12, rtol=1e-12)


def test_only_the_gradients_that_are_asked_for_are_computed():
    layer = Linear(3, 2)
    layer(torch.ones(4, 3)).sum().backward()
    assert layer.weight.grad.shape == (2, 3)
    layer.requires_grad_(False)
    x = torch.ones(4, 3, requires_grad=True)
    layer(x).sum().backward()
    assert x.grad.shape == (4, 3)


def test_elsewhere_than_on_a_cpu_it_is_pytorchs():
    with torch.device("meta"):
        layer, x = Linear(3, 2), torch.ones(5, 3)
    assert layer(x).device.type == "meta" and layer(x).shape == (5, 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_products_are_pytorchs_and_fill_what_they_are_given(dtype):
    draws = torch.Generator().manual_seed(0)
    left = torch.randn(2, 7, 5, dtype=dtype, generator=draws).transpose(1, 2)
    right = torch.randn(2, 7, 3, dtype=dtype, generator=draws)
    given = torch.empty(2, 5, 3, dtype=dtype)
    made = matmul(left, right, out=given)
    torch.testing.assert_close(made, torch.matmul(left, right))
    assert made.data_ptr() == given.data_ptr()
    torch.testing.assert_close(matmul(left, right), made, rtol=0, atol=0)


def test_products_of_infinite_numbers_are_no_warning():
    assert matmul(torch.tensor([[torch.inf, 0.0]]), torch.tensor([[0.0], [1.0]])).isnan()


def test_products_elsewhere_than_on_a_cpu_are_pytorchs():
    left, right = torch.empty(2, 3, 4, device="meta"), torch.empty(2, 4, 5, device="meta")
    assert matmul(left, right).shape == (2, 3, 5)
