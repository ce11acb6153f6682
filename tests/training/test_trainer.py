"""A trainer takes its loss and the parameters that it trains, and keeps everything else as it was."""

import pytest
import torch
from torch import Tensor, nn

from condense.config.settings import Network, Recipe, Training
from condense.diffusion.transformer import build
from condense.training import state
from condense.training.data import Latents, Sources
from condense.training.examples import Batch, Examples
from condense.training.losses import Denoising
from condense.training.trainer import Trainer
from condense.training.workers import Workers

ALONE = Workers(0, 1, torch.device("cpu"))
TRAINING = Training(batch=4, learning_rate=0.01, ema=0.9)


def biases(name: str) -> bool:
    return name.endswith("bias")


def to_one(network: nn.Module, part: Batch) -> Tensor:
    """A loss that no objective has: the prediction's distance to one."""
    return (network(part.noise, part.time, part.labels) - 1).square().flatten(1).mean(1)


def trainer(losses=None, trainable=None) -> Trainer:
    random = torch.Generator().manual_seed(0)
    latents = Latents(
        mean=torch.randn(6, 2, 4, 8, 8, generator=random).half(),
        deviation=None,
        labels=torch.arange(6) % 2,
        paths=[str(i) for i in range(6)],
        classes=2,
        shape=(4, 8, 8),
    )
    examples = Examples(Sources(latents), "flow", TRAINING, Recipe(), 0, ALONE)
    torch.manual_seed(0)
    network = build(Network(depth=1, width=16, heads=2, patch=4), (4, 8, 8), 2, False)
    chosen = {} if trainable is None else {"trainable": trainable}
    losses = losses or Denoising(examples.objective.losses, 0.5)
    return Trainer(network, examples, losses, TRAINING, ALONE, **chosen)


def test_the_loss_that_is_given_is_the_one_that_falls():
    made = trainer(to_one)
    for _ in range(30):
        made.advance()
    made.check()
    assert made.history[0, 0] == 1 and made.history[-1, 0] < 0.2  # the network begins at zero


def test_only_the_chosen_parameters_are_trained_averaged_and_saved(tmp_path):
    made, start = trainer(trainable=biases), trainer().network.state_dict()
    for _ in range(3):
        made.advance()
    made.check()
    names = {name for name, _ in made.network.named_parameters()}
    chosen = {name for name in names if biases(name)}
    changed = {
        name for name, value in made.network.state_dict().items() if not torch.equal(value, start[name])
    }
    assert "final_layer.linear.bias" in changed and changed <= chosen < names
    weights = made.average_weights()
    assert weights.keys() == start.keys()
    assert {name for name in weights if not torch.equal(weights[name], start[name])} == changed
    state.save(tmp_path, 3, made.tensors(), {})
    _, tensors = state.newest(tmp_path, {})
    assert {name.partition(".")[2] for name in tensors if name != "history"} == chosen


@pytest.mark.parametrize("trainable", [None, biases], ids=["all", "biases"])
def test_a_saved_trainer_goes_on_to_the_same_bytes(tmp_path, trainable):
    whole = trainer(trainable=trainable)
    for _ in range(2):
        whole.advance()
    whole.check()
    state.save(tmp_path, 2, whole.tensors(), {})
    resumed = trainer(trainable=trainable)
    resumed.restore(state.newest(tmp_path, {}))
    for made in (whole, resumed):
        for _ in range(2):
            made.advance()
        made.check()
    assert resumed.step == 4
    ours, theirs = resumed.tensors(), whole.tensors()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
