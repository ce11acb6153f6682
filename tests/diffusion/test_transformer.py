"""The transformer equals the reference implementations, and its sizes the published ones."""

from dataclasses import dataclass

import pytest
import torch
from torch.testing import assert_close

from condense.base.errors import InputError
from condense.config.settings import Network
from condense.diffusion.embedders import Captions, position_embedding
from condense.diffusion.transformer import SIZES, Alignment, Transformer, build
from condense.training.alignment import alignment_losses
from golden_networks import assert_golden, captions, conditioned, dit, golden, plain, small
from plain_networks import embed_class

CANCELLED = 0.025  # scale of a mean of 64 cosines of about 0.2 of both signs


def test_prediction_equals_the_reference():
    values, _ = golden("dit")
    assert_golden(dit()(values["x"], values["t"], values["y"]), values["output"])


def test_captioned_prediction_and_alignment_equal_the_reference():
    values, _ = golden("gadc_models")
    output, projected = conditioned("dit")(
        values["x"], values["t"], torch.arange(4), captions(), project=True
    )
    assert_golden(output, values["dit.output"])
    loss = alignment_losses(projected, values["features"]).mean(0, keepdim=True)
    assert_golden(loss, values["dit.projection_loss"], scale=CANCELLED)


def test_captioned_velocity_and_alignment_equal_the_reference():
    values, _ = golden("gadc_models")
    network, t = conditioned("sit"), values["sit.time"]
    assert_golden(network(values["x"], t, torch.arange(4), captions()), values["sit.velocity"])
    noisy = torch.lerp(values["x"], values["sit.noise"], t[:, None, None, None])
    _, projected = network(noisy, t, torch.arange(4), captions(), project=True)
    loss = 0.5 * alignment_losses(projected, values["features"]).mean(0, keepdim=True)
    assert_golden(loss, values["sit.projection_loss_times_0.5"], scale=0.5 * CANCELLED)


BRANCHES = {
    "class": (False, False),
    "no caption": (False, True),
    "no class": (True, False),
    "none": (True, True),
}


@pytest.mark.parametrize("kind", ["dit", "sit"])
@pytest.mark.parametrize("branch", BRANCHES)
def test_a_dropped_class_or_caption_predicts_as_written_out(kind, branch):
    values, _ = golden("gadc_models")
    no_class, no_caption = BRANCHES[branch]
    x, t = values["x"], values["t" if kind == "dit" else "sit.time"]
    labels = torch.full((4,), 4) if no_class else torch.arange(4)
    text = torch.zeros(4, 16, 2048) if no_caption else captions()
    expected = plain(kind, x, t, labels, text)
    if branch == "class":  # the written-out network is the reference's
        assert_golden(expected, values["dit.output" if kind == "dit" else "sit.velocity"])
    assert_golden(conditioned(kind)(x, t, labels, text), expected)


@pytest.mark.parametrize("kind", ["dit", "sit"])
@pytest.mark.parametrize("branch", BRANCHES)
def test_class_and_caption_are_embedded_as_written_out(kind, branch):
    no_class, no_caption = BRANCHES[branch]
    network = conditioned(kind).double()
    labels = torch.full((4,), 4) if no_class else torch.arange(4)
    text = captions().double() * (not no_caption)
    weights = {name: value.numpy() for name, value in network.state_dict().items()}
    vectors = weights["y_embedder.embedding_table.weight"][labels]
    expected = torch.from_numpy(embed_class(weights, vectors, text.numpy()))
    assert_golden(network.y_embedder(labels, text), expected, tolerance=1e-9)


def test_convolution_of_captions_starts_as_released():
    """Weights of standard deviation 0.02; biases as PyTorch draws them, which is how the golden ones lie."""
    torch.manual_seed(0)
    conv = Transformer(
        resolution=8, channels=4, classes=5, size=(1, 64, 4), captions=Captions()
    ).y_embedder.conv
    bound = (16 * 2048) ** -0.5
    assert conv.weight.std().item() == pytest.approx(0.02, rel=0.01)
    for bias in (conv.bias, golden("gadc_models")[0]["sit.weights.y_embedder.conv.bias"]):
        assert 0.9 * bound < bias.abs().max() <= bound


def test_positions_equal_the_reference():
    values, settings = golden("dit")
    side = settings["input_size"] // settings["patch_size"]
    assert_close(position_embedding(side, settings["hidden_size"])[None], values["weights.pos_embed"])


# Peebles and Xie 2023, table 4: millions of parameters
PUBLISHED = {
    **{("S", 8): 33, ("S", 4): 33, ("S", 2): 33, ("B", 8): 131, ("B", 4): 130, ("B", 2): 130},
    **{("L", 8): 459, ("L", 4): 458, ("L", 2): 458, ("XL", 8): 676, ("XL", 4): 675, ("XL", 2): 675},
}
SHAPES = {"S": (12, 384), "B": (12, 768), "L": (24, 1024), "XL": (28, 1152)}


def parameters_of(depth: int, width: int, patch: int) -> int:
    """Count by hand, for 4 x 32 x 32 latents, 1000 classes and learned variances."""
    embedders = (4 * patch**2 + 1) * width + (256 + 1 + width + 1) * width + 1001 * width
    block = 18 * width**2 + 15 * width  # modulation 6 + 6, attention 4 + 4, perceptron 8 + 5
    final = 2 * width**2 + 2 * width + (width + 1) * 8 * patch**2
    return embedders + depth * block + final


@pytest.mark.parametrize(("size", "patch"), PUBLISHED)
def test_sizes_have_the_published_number_of_parameters(size, patch):
    with torch.device("meta"):
        network = build(Network(size=size, patch=patch), (4, 32, 32), 1000, learn_sigma=True)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == parameters_of(*SHAPES[size], patch)
    assert round(count / 1e6) == PUBLISHED[size, patch]


def test_official_xl_has_675_129_632_values_with_its_positions():
    with torch.device("meta"):
        network = build(Network(size="XL"), (4, 32, 32), 1000, learn_sigma=True)
    assert sum(value.numel() for value in network.state_dict().values()) == 675_129_632


def test_training_starts_from_a_zero_prediction_and_reaches_every_parameter():
    torch.manual_seed(0)
    settings = {"resolution": 8, "channels": 4, "classes": 5, "size": (2, 32, 4)}
    fresh = Transformer(**settings, captions=Captions(4, 8), alignment=Alignment(1, 12, 6))
    x, t, y, text = torch.randn(3, 4, 8, 8), torch.rand(3), torch.tensor([0, 5, 2]), torch.randn(3, 4, 8)
    assert not fresh(x, t, y, text).any()
    network = small(captions=Captions(4, 8), alignment=Alignment(1, 12, 6))
    prediction, projected = network(x, t, y, text, project=True)
    (prediction.square().sum() + alignment_losses(projected, torch.randn(3, 16, 6)).sum()).backward()
    silent = [name for name, value in network.named_parameters() if not value.grad.any()]
    assert silent == []
    used = network.y_embedder.embedding_table.weight.grad.any(1)
    assert used.tolist() == [True, False, True, False, False, True]  # 5 is the null class


def test_images_of_a_batch_do_not_mix():
    network = small()
    x, t, y = torch.randn(3, 4, 8, 8), torch.rand(3), torch.tensor([0, 5, 2])
    together = network(x, t, y)
    for i in range(3):
        assert_close(network(x[i : i + 1], t[i : i + 1], y[i : i + 1])[0], together[i])
    for changed in [(x.roll(1, 0), t, y), (x, t.roll(1), y), (x, t, y.roll(1))]:
        assert (network(*changed) - together).abs().amax((1, 2, 3)).min() > 1e-4


def test_projecting_leaves_the_prediction_alone():
    network = small(alignment=Alignment(1, 12, 6))
    inputs = torch.randn(2, 4, 8, 8), torch.rand(2), torch.tensor([0, 1])
    prediction, projected = network(*inputs, project=True)
    assert torch.equal(prediction, network(*inputs))
    assert projected.shape == (2, 16, 6)


def test_prediction_keeps_the_type_of_the_latents():
    network = small()
    x, t, y = torch.randn(2, 4, 8, 8), torch.rand(2), torch.tensor([0, 1])
    single = network(x, t, y)
    with torch.autocast("cpu", torch.bfloat16):
        half = network(x, t, y)
    assert half.dtype == torch.float32
    assert 0 < (half - single).abs().max() < 0.05 * single.abs().max()
    double = network.double()(x.double(), t, y)
    assert double.dtype == torch.float64
    assert_close(double.float(), single, rtol=1e-4, atol=1e-5)


def test_the_whole_network_is_one_graph():
    network = small(captions=Captions(4, 8), alignment=Alignment(1, 12, 6))
    inputs = torch.randn(2, 4, 8, 8), torch.rand(2), torch.tensor([0, 1]), torch.randn(2, 4, 8)
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    for ours, theirs in zip(compiled(*inputs, project=True), network(*inputs, project=True), strict=True):
        assert_close(ours, theirs)


def test_alignment_is_the_cosine_of_each_token():
    tokens = torch.tensor([[[3.0, 0.0], [0.0, 2.0]], [[1.0, 1.0], [1.0, 0.0]]])
    features = torch.tensor([[[5.0, 0.0], [0.0, -1.0]], [[2.0, 2.0], [7.0, 0.0]]])
    assert_close(alignment_losses(tokens, features), torch.tensor([0.0, -1.0]))


@dataclass
class Settings:
    """What `build` reads, without the bounds of the settings."""

    size: str | None = None
    depth: int | None = None
    width: int | None = None
    heads: int | None = None
    patch: int = 2


@pytest.mark.parametrize(
    ("settings", "shape", "part"),
    [
        (Settings("M"), (4, 8, 8), "S, B, L, XL"),
        (Settings("S", depth=3), (4, 8, 8), "depth, width and heads"),
        (Settings(depth=3, width=32), (4, 8, 8), "depth, width and heads"),
        (Settings(depth=3, width=32, heads=5), (4, 8, 8), "5 heads"),
        (Settings(depth=3, width=30, heads=5), (4, 8, 8), "multiple of 4"),
        (Settings("S", patch=3), (4, 8, 8), "patch 3"),
        (Settings("S"), (4, 8, 6), "8 x 6"),
    ],
)
def test_sizes_that_do_not_fit_are_one_sentence(settings, shape, part):
    with torch.device("meta"), pytest.raises(InputError, match=part) as raised:
        build(settings, shape, 10, learn_sigma=False)
    assert str(raised.value).count("\n") == 0
    assert str(raised.value).endswith(".")


def test_alignment_must_follow_one_of_the_blocks():
    with torch.device("meta"), pytest.raises(InputError, match="after block 13"):
        build(Network(size="S"), (4, 8, 8), 10, learn_sigma=False, alignment=Alignment(block=13))


def test_free_sizes_are_taken_as_given():
    with torch.device("meta"):
        network = build(Network(depth=3, width=96, heads=3, patch=1), (1, 8, 8), 10, learn_sigma=False)
    assert (len(network.blocks), network.pos_embed.shape, network.outputs) == (3, (1, 64, 96), 1)
    assert SIZES["XL"] == (28, 1152, 16)
