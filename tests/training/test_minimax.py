"""Losses of Minimax diffusion and inversion matching equal the released codes', gradients too."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from condense.config.finetuning import Finetuning
from condense.diffusion import adm
from condense.diffusion.difffit import is_trained
from condense.training.examples import Batch
from condense.training.memories import Memories
from condense.training.minimax import MinimaxLosses
from golden_finetuning import read, scaled
from golden_networks import assert_golden

KINDS = {"": (torch.float64, 1e-9), "f32.": (torch.float32, 7e-7)}


def batch(values: dict[str, Tensor], dtype: torch.dtype) -> Batch:
    """Examples of a golden step."""
    clean, noise = values["latent"].to(dtype), values["noise"].to(dtype)
    return Batch(clean, noise, values["t"], values["label"], values["label"])


class Prescribed(nn.Module):
    """A network that gives prescribed outputs, one after the other."""

    def __init__(self, *outputs: Tensor) -> None:
        super().__init__()
        self.outputs = list(outputs)

    def forward(self, x: Tensor, t: Tensor, labels: Tensor, text: None) -> Tensor:
        return self.outputs.pop(0)


def step(name: str, number: int) -> dict[str, Tensor]:
    """Values of a golden step; those of the float32 run begin with f32."""
    found, prefix = {}, f"{name}.step{number}."
    for key, value in read("finetune_losses").items():
        if prefix in key:
            found[key.replace(prefix, "")] = value
    return found


def losses(dtype: torch.dtype, **changed: object) -> MinimaxLosses:
    return MinimaxLosses(Finetuning(**changed), Memories(torch.arange(3), 4, 64, dtype))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["minimax", "ims3"])
def test_four_steps_equal_the_released_ones(name, kind):
    dtype, tolerance = KINDS[kind]
    made = losses(dtype, memory=4, inversion="code" if name == "ims3" else "none")
    for number in range(4):
        values = step(name, number)
        expected = {key.removeprefix(kind): value for key, value in values.items() if key.startswith(kind)}
        given = [values[key].to(dtype, copy=True) for key in ("output", "output_inversion") if key in values]
        output = given[0].requires_grad_()
        loss = made(Prescribed(*given), batch(values, dtype))
        figures = made.ledger.figures
        assert_close(
            figures["representativeness"].reshape(1), expected["loss_pos"], rtol=tolerance, atol=1e-9
        )
        assert_close(figures["diversity"].reshape(1), expected["loss_neg"], rtol=tolerance, atol=1e-9)
        # at time 0 a rounding of the latent is divided by a deviation of 0.01
        rough = tolerance if dtype == torch.float64 else 4e-6
        assert_close(loss.mean().reshape(1).detach(), expected["total"], rtol=rough, atol=0)
        counts = made.memories.count.clamp(max=4)[:, None].expand(-1, 2)
        assert torch.equal(counts, expected["memory_lengths"])
        if "grad_total" in expected:
            loss.mean().backward()
            assert_golden(output.grad, expected["grad_total"], tolerance=rough)
        if name == "ims3":
            cosine = figures["inversion_cosine"].reshape(1)
            assert_close(cosine, expected["cosine_mean"], rtol=0, atol=tolerance)


@pytest.mark.parametrize("term", ["pos", "neg"])
def test_gradients_of_each_term_equal_the_released_ones(term):
    names = {"pos": "representativeness", "neg": "diversity"}
    found = {}
    for weight in (1.0, 0.0):
        defaults = {"pos": 0.002, "neg": 0.008}
        chosen = {names[key]: value * (weight if key == term else 1) for key, value in defaults.items()}
        made = losses(torch.float64, memory=4, **chosen)
        for number in range(4):
            values = step("minimax", number)
            output = values["output"].clone().requires_grad_()
            made(Prescribed(output), batch(values, torch.float64)).mean().backward()
            found[weight, number] = output.grad
    for number in range(4):
        own = found[1.0, number] - found[0.0, number]
        expected = step("minimax", number)[f"grad_{term}"]
        assert_close(own, expected, rtol=0, atol=1e-9 * found[1.0, number].abs().max().item())


@pytest.mark.parametrize("weight", ["0.002", "1"])
def test_matching_as_coded_equals_the_released_one(weight):
    values = step("ims3", 3)
    chosen = {"inversion_weight": float(weight), "representativeness": 0.0, "diversity": 0.0}
    found = []
    for inversion in ("code", "none"):
        output = values["output"].clone().requires_grad_()
        made = losses(torch.float64, memory=4, inversion=inversion, **chosen)
        loss = made(Prescribed(output, values["output_inversion"]), batch(values, torch.float64)).mean()
        loss.backward()
        found.append((loss.detach().reshape(1), output.grad))
        if inversion == "code":
            share = made.ledger.figures["inversion_share"]
            expected = values[f"lambda{weight}.grad_match"].norm() / output.grad.norm()
            assert_close(share, expected, rtol=1e-9, atol=0)
    (loss, gradient), (without, gradient_without) = found
    assert_close(loss - without, values[f"lambda{weight}.loss_match"], rtol=1e-9, atol=0)
    matched = values[f"lambda{weight}.grad_match"]
    assert_close(gradient - gradient_without, matched, rtol=0, atol=1e-9 * matched.abs().max().item())


def test_matching_in_pairs_compares_an_image_with_its_own_target():
    values = step("ims3", 3)
    made = losses(torch.float64, memory=4, inversion="paired")
    output = values["output"].clone().requires_grad_()
    made(Prescribed(output, values["output_inversion"]), batch(values, torch.float64))
    cosine = made.ledger.figures["inversion_cosine"]
    assert_close(cosine, values["cosine_diagonal"].mean(), rtol=1e-9, atol=0)
    moved = nn.functional.cosine_similarity(values["x_inv"].flatten(1), values["latent"].flatten(1))
    assert_close(made.ledger.figures["target_cosine"], moved.mean(), rtol=1e-9, atol=0)


def test_matching_to_an_inversion_keeps_the_class_and_reaches_the_noise():
    torch.manual_seed(0)
    asked = []

    def network(x: Tensor, t: Tensor, labels: Tensor, text: None) -> Tensor:
        asked.append(labels)
        return torch.cat([torch.tanh(x) + t[:, None, None, None] / 1000 + weight, x * 0], 1)

    weight = torch.zeros((), requires_grad=True)
    shape, kinds = (2, 4, 4, 4), torch.tensor([0, 2])
    noise, dropped = torch.randn(shape), torch.tensor([3, 3])
    part = Batch(torch.randn(shape), noise, torch.tensor([0, 999]), dropped, kinds)
    made = losses(torch.float32, memory=4, inversion="ddim", inversion_steps=5)
    made(network, part).mean().backward()
    assert torch.equal(asked[0], dropped) and len(asked) == 5
    assert all(torch.equal(labels, kinds) for labels in asked[1:])
    assert weight.grad.isfinite() and made.ledger.figures["target_cosine"] < 1


def test_empty_memories_and_classes_that_are_absent_add_nothing():
    values = step("minimax", 0)
    made = losses(torch.float64, memory=4)
    part = batch(values, torch.float64)
    output = values["output"].clone().requires_grad_()
    loss = made(Prescribed(output), part)
    assert made.ledger.figures["representativeness"] == made.ledger.figures["diversity"] == 0
    plain = adm.losses(lambda x, t: values["output"], part.clean, part.time, part.noise)
    assert torch.equal(loss.detach(), plain)
    loss.mean().backward()
    assert output.grad.isfinite().all()
    absent = torch.full((6,), 1)
    only = Batch(part.clean, part.noise, part.time, absent, absent)
    before = made.memories.count.clone()
    made(Prescribed(values["output"]), only)
    assert (made.memories.count - before).tolist() == [0, 6, 0]


def test_a_memory_keeps_the_last_though_a_batch_overfills_it():
    memories = Memories(torch.tensor([2, 5]), 3, 1)
    numbers = torch.arange(1, 9, dtype=torch.float32)[:, None]
    memories.add(numbers, -numbers, torch.tensor([2, 2, 5, 2, 2, 2, 2, 2]))
    assert sorted(memories.real[0].flatten().tolist()) == [6, 7, 8]
    assert sorted(memories.estimated[0].flatten().tolist()) == [-8, -7, -6]
    assert memories.real[1].flatten().tolist() == [3, 0, 0] and memories.count.tolist() == [7, 1]
    smallest, largest, remembered = memories.extremes(torch.tensor([[1.0], [1.0]]), torch.tensor([2, 5]))
    assert remembered.all() and torch.equal(smallest, torch.ones(2)) and torch.equal(largest, -torch.ones(2))


def test_two_steps_of_a_finetuning_equal_the_released_ones():
    values, network = read("dit_difffit"), scaled()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(is_trained(name))
    trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
    start = {name: value.detach().clone() for name, value in trained.items()}
    optimiser = torch.optim.AdamW(trained.values(), lr=1e-3, weight_decay=0.0)
    made = MinimaxLosses(Finetuning(inversion="code"), Memories(torch.arange(10), 64, 256))
    average = start["final_layer.linear.bias"].clone()
    for number in range(2):
        prefix = f"tune.step{number}."
        now = {key.removeprefix(prefix): value for key, value in values.items() if key.startswith(prefix)}
        loss = made(network, batch(now, torch.float32)).mean()
        assert_close(loss.reshape(1).detach(), now["total"], rtol=2e-6, atol=0)
        loss.backward()
        if number == 0:
            for name, value in trained.items():
                assert_golden(value.grad, now[f"grad.{name}"], tolerance=5e-6)
        optimiser.step()
        optimiser.zero_grad()
        average.lerp_(trained["final_layer.linear.bias"].detach(), 1 - 0.9999)
    for name, value in trained.items():
        kept = torch.arange(len(value)) // 48 != 1 if "qkv" in name else slice(None)
        # the biases of keys move nothing: their gradient is rounding, which Adam makes a step of
        assert_golden(value.detach()[kept], values[f"tuned.{name}"][kept])
    assert_golden(average, values["ema.final_layer.linear.bias"])
