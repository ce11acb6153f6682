"""The random projector equals the release's, for one class and for several at once."""

import pytest
import torch
from torch.testing import assert_close

from condense.base.errors import InputError
from condense.base.seeds import stream
from condense.synthesis.projector import Projector
from golden_concentration import projector, read
from golden_students import near

SINGLE, DOUBLE = 1e-6, 1e-12


@pytest.mark.parametrize("side", [16, 8])
def test_features_equal_the_releases(side):
    values, _ = read("projector")
    x = values[f"x{side}"][None]
    near(projector()(x)[0], values[f"features{side}"], SINGLE)
    near(projector(torch.float64)(x.double())[0], values[f"features{side}.f64"], DOUBLE)
    if side == 16:
        near(projector().pooled(x)[0], values["pooled16"], SINGLE)


def test_the_network_of_16_groups_equals_the_releases():
    values, settings = read("projector")
    drawn = Projector.draw(4, 16, stream("test"))
    parts = [part for pair in zip(drawn.weights, drawn.biases, strict=True) for part in pair]
    assert sum(map(torch.Tensor.numel, parts)) == settings["full16_parameters"]
    filled = [
        (0.05 * torch.sin(0.37 * torch.arange(part.numel(), dtype=torch.float64) + i)).float().view_as(part)
        for i, part in enumerate(parts)
    ]
    own = Projector(tuple(filled[::2]), tuple(filled[1::2]), 16)
    x = torch.sin(0.01 * torch.arange(2 * 4 * 32 * 32, dtype=torch.float64)).float().view(1, 2, 4, 32, 32)
    features = own(x)[0]
    assert list(features.shape) == settings["full16_shape"]
    near(features.mean((2, 3))[:, ::64], values["full16.pooled_every_64th"], 2e-6)
    near(features[:, :8, 0, 0], values["full16.output_first"], 2e-6)
    told = torch.stack([features.mean(), features.std(), features.abs().max()]).double()
    near(told, values["full16.output_mean_std_absmax"], 1e-5)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 12), (16, 11)])
def test_means_over_positions_take_the_last_layer_once(height, width):
    x = torch.randn(2, 3, 4, height, width, dtype=torch.float64, generator=stream("test"))
    own = Projector.draw(4, 2, stream("projector")).to(x)
    each = Projector.stack([Projector.draw(4, 2, stream("projector", k)) for k in range(2)]).to(x)
    for network in (own, each):
        near(network.pooled(x), network(x).mean((-2, -1)), DOUBLE)


def test_classes_side_by_side_have_their_own_features():
    x = torch.randn(3, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    each = [Projector.draw(4, 2, stream("projector", k)) for k in range(3)]
    together = Projector.stack(each)(x)
    apart = torch.cat([own(part[None]) for own, part in zip(each, x, strict=True)])
    assert_close(together, apart, rtol=0, atol=1e-6)
    assert_close(each[0](x)[1], each[0](x[1:2])[0], rtol=0, atol=1e-6)  # one that all share


def test_weights_are_pytorchs_defaults():
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(4, 256, 3)
    drawn = Projector.draw(4, 16, stream("test"))
    for own, reference in ((drawn.weights[0], layer.weight), (drawn.biases[0], layer.bias)):
        assert own.abs().max() <= 1 / 6 and own.shape == reference.shape
        assert own.std().item() == pytest.approx(reference.std().item(), rel=0.1)
    assert drawn.weights[3].shape == (2048, 64, 4, 4) and drawn.weights[3].abs().max() <= 1 / 32


def test_small_latents_are_one_sentence():
    with pytest.raises(InputError, match="latents are 4 x 4"):
        projector()(torch.zeros(1, 1, 4, 4, 4))
