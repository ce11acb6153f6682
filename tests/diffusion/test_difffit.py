"""Scale factors and what DiffFit trains are as released; a network without factors is as it was."""

import pytest
import torch
from safetensors.torch import load_file

from condense.base.errors import InputError
from condense.config.settings import Network
from condense.diffusion.checkpoints import import_checkpoint, to_diffusers
from condense.diffusion.difffit import BLOCKS, is_trained, merge_factors, scaled_blocks
from condense.diffusion.generator import read_generator
from condense.diffusion.samplers import guide
from condense.diffusion.transformer import SIZES, Size, Transformer, build
from golden_finetuning import FOLDER, names, read, scaled
from golden_networks import assert_golden, small


def empty(size: Size, classes: int = 10, side: int = 8) -> Transformer:
    with torch.device("meta"):
        sizes = {"resolution": side, "channels": 4, "classes": classes, "size": size, "patch": 2}
        return Transformer(**sizes, learn_sigma=True, scaled_blocks=BLOCKS)


def test_prediction_with_factors_equals_the_reference():
    values = read("dit_difffit")
    network = scaled().requires_grad_(False)
    assert_golden(network(values["x"], values["t"], values["y"]), values["output"])
    guided = guide(network, values["y"], 4.0, 3)(values["x"], values["t"])
    assert_golden(guided, values["output_cfg4"], tolerance=2e-6)  # 4 c - 3 u


@pytest.mark.parametrize("depth", [3, 16])
def test_what_is_trained_has_the_released_names_in_their_order(depth):
    expected = names()[f"depth{depth}"]
    network = empty(Size(depth, 48, 4))
    own = [name for name, _ in network.named_parameters()]
    assert [name for name in own if is_trained(name)] == expected["trainable"]
    frozen = [name for name in own if not is_trained(name)]
    assert frozen == [name for name in expected["frozen"] if name != "pos_embed"]  # a buffer here
    counts = {name: value.numel() for name, value in network.named_parameters()}
    assert sum(counts[name] for name in expected["trainable"]) == expected["trainable_parameters"]
    assert scaled_blocks(counts) == min(depth, 14)


@pytest.mark.parametrize("size", ["S", "XL"])
def test_published_sizes_train_the_released_number_of_parameters(size):
    network = empty(SIZES[size], 1000, 32)
    count = sum(value.numel() for name, value in network.named_parameters() if is_trained(name))
    assert count == names()[f"DiT-{size}/2"]["trainable_parameters"]


def test_without_factors_a_network_is_the_same_to_the_byte():
    plain, with_factors = small(), small(scaled_blocks=BLOCKS)
    assert not any("gamma" in name for name in plain.state_dict())
    unscaled = {name: value for name, value in with_factors.state_dict().items() if "gamma" not in name}
    assert [*plain.state_dict()] == [*unscaled]
    torch.manual_seed(3)
    network = Network(depth=2, width=32, heads=4)
    ours = build(network, (4, 8, 8), 5, True).state_dict()
    torch.manual_seed(3)
    theirs = build(network, (4, 8, 8), 5, True, scaled_blocks=BLOCKS).state_dict()
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_factors_of_one_change_no_bit():
    plain = small()
    with_factors = small(scaled_blocks=1)
    with_factors.load_state_dict(plain.state_dict() | ones(with_factors))
    inputs = torch.randn(2, 4, 8, 8), torch.tensor([3, 900]), torch.tensor([0, 4])
    assert torch.equal(plain(*inputs), with_factors(*inputs))


def ones(network: Transformer) -> dict[str, torch.Tensor]:
    return {name: torch.ones_like(value) for name, value in network.state_dict().items() if "gamma" in name}


def test_merged_factors_leave_the_prediction_as_it_is():
    values, network = read("dit_difffit"), scaled().double()
    merged = merge_factors(network.state_dict())
    assert not any("gamma" in name for name in merged)
    plain = Transformer(
        resolution=8, channels=4, classes=10, size=Size(2, 48, 4), patch=2, learn_sigma=True
    ).double()
    plain.load_state_dict(merged)
    inputs = values["x"].double(), values["t"], values["y"]
    assert_golden(plain(*inputs), network(*inputs), tolerance=1e-13)


def test_a_finetuned_checkpoint_is_read_with_its_factors_and_exported_without(tmp_path):
    weights = load_file(FOLDER / "dit_difffit.safetensors")
    network = scaled()
    torch.save({"ema": network.state_dict(), "args": None}, tmp_path / "tuned.pt")
    import_checkpoint(tmp_path / "tuned.pt", tmp_path / "tuned.safetensors", heads=4)
    found, _, about = read_generator(tmp_path / "tuned.safetensors", torch.device("cpu"))
    assert about.classes == 10
    assert_golden(found(weights["x"], weights["t"], weights["y"]), weights["output"])
    _, exported = to_diffusers(found)
    assert not any("gamma" in name for name in exported)


def test_a_factor_where_the_release_has_none_is_one_sentence(tmp_path):
    network = scaled()
    odd = network.state_dict() | {"final_layer.gamma1": torch.ones(48)}
    torch.save(odd, tmp_path / "odd.pt")
    with pytest.raises(InputError, match=r"final_layer\.gamma1, which the network has not"):
        import_checkpoint(tmp_path / "odd.pt", tmp_path / "odd.safetensors", heads=4)
