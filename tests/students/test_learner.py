"""A training of a student equals the released loops, and goes on from a saved state to the same bytes."""

import math

import pytest
import torch
from torch import nn

from condense.base.errors import InputError
from condense.config.options import build
from condense.config.recipes import StudentTraining
from condense.config.students import StudentNetwork
from condense.students.augment import Augmentation, cut_and_mix
from condense.students.data import ImageSet
from condense.students.learner import StudentTrainer, predict
from condense.students.networks import ConvNet, initialised
from condense.students.recipes import Course
from condense.students.relabel import StoredLabels
from golden_networks import weights_of
from golden_students import near, read

MEAN, STD = torch.full((3,), 0.5), torch.full((3,), 0.25)


def recipe(name: str = "dc", **changes: object):
    return build(StudentTraining, {"recipe": name} | changes)


def image_set(count: int = 20, classes: int = 4, side: int = 16, seed: int = 0) -> ImageSet:
    """Noisy images whose brightness tells their class."""
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    images = torch.randint(0, 90, (count, 3, side, side), generator=stream) + 40 * labels[:, None, None, None]
    return ImageSet(images.byte(), labels, [f"{i}" for i in range(count)], [*"abcdef"][:classes])


def learner(
    chosen, data: ImageSet | None = None, network: nn.Module | None = None, seed: int = 0, **more: object
) -> StudentTrainer:
    data = data or image_set()
    side = data.images.shape[-1]
    network = network or initialised(StudentNetwork(depth=2, width=8), side, len(data.classes), seed)
    network.to(memory_format=torch.channels_last)
    course = Course.of(chosen, len(data), len(data.classes))
    return StudentTrainer(network, data, Augmentation(chosen, side, MEAN, STD, seed), course, seed, **more)


@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_steps_equal_those_of_the_released_loops(labels):
    values, settings = read("training")
    x, y = values["x"].float(), values["y"]
    networks = [ConvNet(3, 6, "instance", 3, 16, settings["classes"]) for _ in range(2)]
    for network, name in zip(networks, ("weights", "teacher"), strict=True):
        network.load_state_dict({k: v.float() for k, v in weights_of(values, f"hard.{name}.").items()})
    chosen = recipe("dsco" if labels == "hard" else "dsco-soft", batch=4, smallest_batch=None)
    data = ImageSet(x.flatten(0, 1), y.flatten(), [], [*"abcdef"])
    teach = None if labels == "hard" else lambda views, _: networks[1](views.images).detach()
    trained = learner(chosen, data, networks[0], teach=teach)
    losses = []
    for step, (partner, row) in enumerate(
        zip(values[f"{labels}.permutations"], values[f"{labels}.lambda_and_boxes"].tolist(), strict=True)
    ):
        views = cut_and_mix(x[step % 2], partner, tuple(map(int, row[1:])))
        losses.append(trained.learn(views, torch.arange(4) + 4 * (step % 2)).double())
    epochs = torch.stack(losses).reshape(2, 2).mean(1)
    near(
        epochs, values[f"{labels}.epoch_losses"], 1e-6 if labels == "hard" else 1e-4
    )  # soft: terms of 1 cancel
    for name, after in weights_of(values, f"{labels}.after.").items():
        near(trained.network.get_parameter(name).detach(), after, 1e-5)


class Drawing(nn.Module):
    """A network with batch statistics that draws itself."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.Conv2d(3, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(6 * 196, 4),
        )

    def forward(self, x):
        return self.inner(x)


def drawing() -> nn.Module:
    torch.manual_seed(0)
    return Drawing()


COURSES = {
    "dc, past its drop": (recipe(epochs=6, batch=8), None),
    "minimax": (recipe("minimax", epochs=4, batch=8, evaluate_every=1), None),
    "an average of weights, batch statistics, dropout": (
        recipe("edc", epochs=4, batch=8, evaluate_every=2, patch_shuffle=2),
        drawing,
    ),
}


@pytest.mark.parametrize("name", COURSES)
def test_a_training_taken_up_at_any_step_ends_with_the_same_bits(name):
    chosen, network = COURSES[name]
    validation = image_set(12, seed=1)
    teach = (
        None
        if chosen.loss == "ce"
        else StoredLabels(torch.randn(20, 4, generator=torch.Generator().manual_seed(3)))
    )

    def start() -> StudentTrainer:
        return learner(chosen, network=network and network(), teach=teach)

    whole = start()
    states = []
    while not whole.done:
        whole.advance(validation)
        states.append(
            (whole.step, {key: value.contiguous().clone() for key, value in whole.tensors().items()})
        )
    for step, tensors in states:
        again = start()
        again.restore(step, tensors)
        while not again.done:
            again.advance(validation)
        expected, found = whole.tensors(), again.tensors()
        assert expected.keys() == found.keys()
        for key, value in expected.items():
            assert torch.equal(value.nan_to_num(), found[key].nan_to_num()), (step, key)
    assert whole.best_epoch == again.best_epoch > 0 and len(whole.history) == chosen.epochs


def test_best_and_last_weights_are_those_of_their_epochs():
    validation = image_set(40, seed=1)
    trained = learner(recipe(epochs=8, batch=8, evaluate_from=0.0, learning_rate=0.05))
    seen = []
    while not trained.done:
        before = trained.epoch
        trained.advance(validation)
        if trained.epoch > before:
            guesses = predict(trained.network, validation.images, trained.augmentation.plain)
            seen.append(100 * (guesses == validation.labels).double().mean().item())
    assert trained.history[:, 2].tolist() == pytest.approx(seen)
    assert (
        trained.best_accuracy == pytest.approx(max(seen)) and trained.best_epoch == seen.index(max(seen)) + 1
    )
    assert min(seen) < max(seen)
    trained.network.load_state_dict(trained.best)
    guesses = predict(trained.network, validation.images, trained.augmentation.plain)
    assert 100 * (guesses == validation.labels).double().mean().item() == pytest.approx(max(seen))


def test_every_epoch_sees_each_image_once_in_an_order_of_its_own():
    trained, validation = learner(recipe(epochs=3, batch=8)), image_set(4)
    orders = []
    while not trained.done:
        trained.advance(validation)
        orders.append(trained.order.tolist())
    assert trained.step == 9 and [len(set(order)) for order in orders] == [20] * 9
    assert orders[0] == orders[2] != orders[3] != orders[6]


def test_a_loss_that_is_not_finite_stops_with_epoch_and_step():
    with pytest.raises(InputError, match=r"the loss of epoch 2, step 3 \(seed 5\) is not finite: lower"):
        trained = learner(recipe(epochs=4, batch=8), seed=5)
        step = trained.learn

        def spoilt(views, chosen):
            return step(views, chosen) * (math.nan if trained.step >= 5 else 1)

        trained.learn = spoilt
        while not trained.done:
            trained.advance(image_set(4))
    assert len(trained.history) == 1


def test_weights_of_one_dimension_do_not_decay_where_matrices_alone_do():
    def after(decayed: str) -> dict[str, torch.Tensor]:
        trained = learner(recipe(epochs=1, decayed=decayed, weight_decay=0.5))
        trained.advance(image_set(4))
        return dict(trained.network.named_parameters())

    every, matrices = after("all"), after("matrices")
    for name in ("layers.conv.0.weight", "classifier.weight"):
        assert torch.equal(every[name], matrices[name]), name
    for name in ("layers.norm.0.weight", "classifier.bias"):
        assert not torch.equal(every[name], matrices[name]), name


def test_stored_labels_are_mixed_as_the_views_are():
    labels = StoredLabels(torch.eye(4))
    views = cut_and_mix(torch.rand(2, 3, 8, 8), torch.tensor([1, 0]), (0, 0, 4, 4))
    found = labels(views, torch.tensor([2, 3]))
    assert found.tolist() == [[0, 0, 0.75, 0.25], [0, 0, 0.25, 0.75]]


def test_a_last_image_alone_joins_the_batch_before_it_where_a_batch_is_normalised():
    def steps(norm: str) -> list[int]:
        network = initialised(StudentNetwork(depth=3, width=8, norm=norm), 8, 4, 0)
        trained, validation = (
            learner(recipe(epochs=1, batch=8), image_set(17, side=8), network),
            image_set(4, side=8),
        )
        sizes = []
        network.register_forward_pre_hook(lambda module, given: sizes.append(len(given[0])))
        while not trained.done:
            trained.advance(validation)
        return sizes[:-1]  # without the examination

    assert steps("batch") == [8, 9] and steps("instance") == [8, 8, 1]
