"""One training of a student as a state that is advanced step by step, a function of (seed, step) alone."""

import copy
import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from condense.base.batches import split_for_norm
from condense.base.errors import InputError
from condense.base.seeds import seed_of, stream
from condense.students.augment import Augmentation, Views
from condense.students.data import ImageSet
from condense.students.losses import student_loss
from condense.students.networks import layout
from condense.students.recipes import Course

COLUMNS = ("loss", "learning_rate", "accuracy")  # of an epoch; per cent, NaN where none was taken
EXAMINED = 256  # images of a forward pass without gradients
# teachers' logits [b, classes] of views and of their images' places in the training set [b]
Teach = Callable[[Views, Tensor], Tensor]


class StudentTrainer:
    """Optimises a network on images in memory; keeps its best and its last weights.

    Args:
        network: What is trained, on the device of the images.
        data: Images to train on.
        augmentation: Turns images into views.
        course: Epochs, batch and rates.
        seed: Of the order of the images, the views and what the network itself draws.
        teach: Gives the soft labels; None for hard ones.
    """

    def __init__(
        self,
        network: nn.Module,
        data: ImageSet,
        augmentation: Augmentation,
        course: Course,
        seed: int,
        teach: Teach | None = None,
    ) -> None:
        self.network, self.data, self.augmentation = network, data, augmentation
        self.course, self.seed, self.teach = course, seed, teach
        self.steps = len(self._split(torch.arange(len(data))))  # of an epoch
        self.step = 0
        self.recent: list[Tensor] = []  # losses of the epoch
        self.history = torch.zeros(0, len(COLUMNS), dtype=torch.float64)
        self.examined = network if course.chosen.ema is None else copy.deepcopy(network)
        self.best: dict[str, Tensor] = {}
        self.kept: dict[str, dict[str, Tensor]] = {}  # weights after n epochs, epoch{n}, where they are kept
        self.best_epoch, self.best_accuracy = 0, -1.0
        self.optimiser = self._fresh()

    @property
    def epoch(self) -> int:
        """Epochs that are done."""
        return self.step // self.steps

    @property
    def done(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch == self.course.epochs

    def advance(self, validation: ImageSet) -> None:
        """Take one step; at the end of an epoch check its losses and, when it is due, examine the network."""
        epoch, place = divmod(self.step, self.steps)
        if place == 0:
            self._open(epoch)
        chosen = self.batches[place]
        # some networks draw themselves, as for dropout
        torch.manual_seed(seed_of("student", self.seed, epoch, place))
        views = self.augmentation(self.data.images[chosen], epoch, place)
        self.recent.append(self.learn(views, chosen))
        self.step += 1
        if place + 1 == self.steps:
            self._close(epoch, validation)

    def learn(self, views: Views, chosen: Tensor) -> Tensor:
        """Take an optimiser step on views of the images `chosen` [b]; the loss, on the device."""
        course = self.course
        soft = None if self.teach is None else self.teach(views, chosen)
        logits = self.network(views.images.contiguous(memory_format=layout(views.images.device)))
        loss = student_loss(course.chosen, logits, self.data.labels[chosen], views.mix, soft)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        self.optimiser.step()
        if self.examined is not self.network:
            average, current = (
                [value.detach() for value in net.parameters()] for net in (self.examined, self.network)
            )
            torch._foreach_lerp_(average, current, 1 - course.chosen.ema)
        return loss.detach()

    def rows(self) -> Iterator[dict[str, float]]:
        """Number, loss, rate and, where it was taken, accuracy of each epoch that is done."""
        for epoch, values in enumerate(self.history.tolist(), 1):
            known = zip(COLUMNS, values, strict=True)
            yield {"epoch": epoch} | {name: value for name, value in known if not math.isnan(value)}

    def check(self) -> None:
        """Stop at the first loss that is not finite; on a GPU this waits for it."""
        bad = (~torch.stack(self.recent).isfinite()).nonzero() if self.recent else ()
        if len(bad):
            epoch = (self.step - 1) // self.steps + 1
            raise InputError(
                f"the loss of epoch {epoch}, step {int(bad[0]) + 1} (seed {self.seed}) is not finite: lower "
                "the recipe's learning_rate."
            )

    def tensors(self) -> dict[str, Tensor]:
        """All that the next step depends on, by name."""
        parts = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if self.examined is not self.network:
            parts |= {f"average.{name}": value for name, value in self.examined.state_dict().items()}
        parts |= {f"best.{name}": value for name, value in self.best.items()}
        parts |= {f"{epoch}.{name}": value for epoch, its in self.kept.items() for name, value in its.items()}
        for number, kept in self.optimiser.state_dict()["state"].items():
            parts |= {f"optimiser.{number}.{key}": value for key, value in kept.items() if value is not None}
        parts["history"] = self.history
        parts["recent"] = torch.stack(self.recent) if self.recent else torch.zeros(0)
        parts["best_so_far"] = torch.tensor([self.best_epoch, self.best_accuracy], dtype=torch.float64)
        return parts

    def restore(self, step: int, tensors: dict[str, Tensor]) -> None:
        """Take up a saved state."""
        device = self.data.labels.device

        def part(prefix: str) -> dict[str, Tensor]:
            return {
                name.removeprefix(prefix): value.to(device)
                for name, value in tensors.items()
                if name.startswith(prefix)
            }

        self.step, self.history = step, tensors["history"]
        self.recent = [*tensors["recent"].to(device)]
        self.network.load_state_dict(part("network."))
        if self.examined is not self.network:
            self.examined.load_state_dict(part("average."))
        self.best = part("best.")
        if self.course.chosen.keep == "epochs":
            self.kept = {f"epoch{done}": part(f"epoch{done}.") for done in range(self.epoch + 1)}
        best_epoch, self.best_accuracy = tensors["best_so_far"].tolist()
        self.best_epoch = int(best_epoch)
        parameters = [value for group in self.optimiser.param_groups for value in group["params"]]
        kept: dict[int, dict[str, Tensor]] = {}
        for name, value in part("optimiser.").items():
            number, _, key = name.partition(".")
            like = parameters[int(number)]
            if value.shape == like.shape:  # fused optimisers go through memory, whatever the strides
                value = torch.empty_like(like, requires_grad=False).copy_(value)
            kept.setdefault(int(number), {})[key] = value
        self.optimiser.load_state_dict(self.optimiser.state_dict() | {"state": kept})
        epoch, place = divmod(step, self.steps)
        if place:
            self._open(epoch, resumed=True)

    def _open(self, epoch: int, resumed: bool = False) -> None:
        """Begin an epoch, or go on within it: its order and its learning rate."""
        course = self.course
        if course.drops(epoch) and course.chosen.fresh_optimiser and not resumed:
            self.optimiser = self._fresh()
        for group in self.optimiser.param_groups:
            group["lr"] = course.rate(epoch)
        order = torch.randperm(len(self.data), generator=stream("student order", self.seed, epoch))
        self.order = order.to(self.data.labels.device)
        self.batches = self._split(self.order)
        self.network.train()
        if not self.step:
            self._keep(0)

    def _split(self, order: Tensor) -> Sequence[Tensor]:
        """Batches of the places [n]; a last image alone has no deviation by which batch norm could divide."""
        normed = any(isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d) for part in self.network.modules())
        return split_for_norm(order, self.course.batch) if normed else order.split(self.course.batch)

    def _close(self, epoch: int, validation: ImageSet) -> None:
        """End an epoch: its mean loss, and the accuracy where it is due."""
        self.check()
        accuracy = float("nan")
        if self.course.evaluates(epoch + 1):
            if self.examined is not self.network:  # RELEASE: of EDC, statistics are the raw network's
                for mine, raw in zip(self.examined.buffers(), self.network.buffers(), strict=True):
                    mine.copy_(raw)
            guesses = predict(self.examined, validation.images, self.augmentation.plain)
            accuracy = 100 * (guesses == validation.labels).double().mean().item()
            if accuracy > self.best_accuracy:
                self.best = {name: value.clone() for name, value in self.examined.state_dict().items()}
                self.best_epoch, self.best_accuracy = epoch + 1, accuracy
        loss = torch.stack(self.recent).mean().item()
        row = torch.tensor([[loss, self.course.rate(epoch), accuracy]], dtype=torch.float64)
        self.history, self.recent = torch.cat([self.history, row]), []
        self._keep(epoch + 1)

    def _keep(self, epochs: int) -> None:
        """Keep the weights after so many epochs, if the recipe says so."""
        if self.course.chosen.keep == "epochs":
            weights = self.examined.state_dict().items()
            self.kept[f"epoch{epochs}"] = {name: value.clone() for name, value in weights}

    def _fresh(self) -> torch.optim.Optimizer:
        """Optimiser without a past."""
        chosen, every = self.course.chosen, [*self.network.parameters()]
        decays = [value for value in every if chosen.decayed == "all" or value.dim() > 1]
        spared = [value for value in every if chosen.decayed != "all" and value.dim() <= 1]
        groups = [{"params": decays}] + [{"params": spared, "weight_decay": 0.0}] * bool(spared)
        common = {"lr": self.course.learning_rate, "weight_decay": chosen.weight_decay, "fused": True}
        if chosen.optimiser == "sgd":
            return torch.optim.SGD(groups, momentum=chosen.momentum, **common)
        return torch.optim.AdamW(groups, betas=(0.9, chosen.beta2), **common)


@torch.no_grad()
def predict(network: nn.Module, images: Tensor, plain: Callable[[Tensor], Tensor]) -> Tensor:
    """Most probable class [n] of images uint8 [n, 3, h, h]."""
    training = network.training
    network.eval()
    order = layout(images.device)
    parts = (plain(part).contiguous(memory_format=order) for part in images.split(EXAMINED))
    guesses = torch.cat([network(part).argmax(1) for part in parts])
    network.train(training)
    return guesses
