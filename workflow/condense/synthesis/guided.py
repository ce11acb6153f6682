"""Images made by guiding a chain within a window of times: IGD, and OT-DD, which adds optimal transport.

All classes take their next image together. Outside the window, and where nothing guides, a chain is bitwise
the plain one; its noise is that of every way to make images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.base.progress import say, track
from condense.config.guidance import InfluenceGuided, TransportGuided
from condense.synthesis.chain import Chain, Target
from condense.synthesis.given import Given
from condense.synthesis.guides import Deviation, Guide, Influence, Move, Point, rms
from condense.synthesis.surrogates import open_surrogate
from condense.synthesis.transport_guidance import TransportGuide

Settings = InfluenceGuided | TransportGuided


def make_guided(
    chain: Chain,
    classes: Sequence[Target],
    budget: int,
    settings: Settings,
    given: Given,
    finished: Mapping[str, Tensor],
) -> Iterator[tuple[str, Tensor]]:
    """One latent [1, c, h, w] after the other of each class, which all take their next image together.

    Prints how far each guide moves a step of the chain, relative to the noise of that step.
    """
    guides = open_guides(chain, classes, settings, given)
    made = {target.name: finished.get(target.name, torch.zeros(0, *chain.shape)) for target in classes}
    for number in track(range(budget), "guiding"):
        waiting = [target for target in classes if len(made[target.name]) == number]
        moves: dict[str, dict[int, list[float]]] = {}
        for start in range(0, len(waiting), settings.batch):
            some = waiting[start : start + settings.batch]
            before = torch.stack([made[target.name] for target in some]).to(chain.device)
            run = GuidedRun(chain, some, number, before, guides, settings)
            for target, latent in zip(some, run.draw(), strict=True):
                made[target.name] = torch.cat([made[target.name].to(latent), latent[None]])
                yield target.name, latent[None]
            run.tell(moves)
        for name, by_time in moves.items():
            told = " ".join(f"{sum(found) / len(found):.3g}" for found in by_time.values())
            times = ", ".join(map(str, by_time))
            say(f"image {number + 1}, moves of {name} over sigma at times {times}: {told}")


def open_guides(
    chain: Chain, classes: Sequence[Target], settings: Settings, given: Given
) -> dict[str, Guide]:
    """What guides by the settings, by name."""
    guides: dict[str, Guide] = {}
    if settings.influence_weight:
        side = chain.decode(torch.zeros(1, *chain.shape, device=chain.device)).shape[-1]
        surrogate, labels = open_surrogate([target.name for target in classes], side, settings, given)
        guides["influence"] = Influence(chain, surrogate, labels, settings)
    if settings.deviation_weight:
        guides["deviation"] = Deviation(settings)
    if isinstance(settings, TransportGuided) and settings.transport_weight:
        guides["transport"] = TransportGuide(settings, given)
    return guides


@dataclass
class GuidedRun:
    """Chains of image `number` of some classes, whose finished latents are `before` [b, number, c, h, w]."""

    chain: Chain
    targets: Sequence[Target]
    number: int
    before: Tensor
    guides: Mapping[str, Guide]
    settings: Settings

    def __post_init__(self) -> None:
        self.noise = self._noise()
        self.labels = torch.tensor([target.label for target in self.targets], device=self.chain.device)
        started = {
            name: guide.start(self.targets, self.number, self.before) for name, guide in self.guides.items()
        }
        self.moves = {name: move for name, move in started.items() if move is not None}
        self.again = self._noise("repeat")  # noise that the plain chain does not have
        self.ghost = Ghost(self.chain, self._noise("ghost")) if self.settings.ghost else None
        self.sizes: dict[str, dict[int, Tensor]] = {}

    def draw(self) -> Tensor:
        """Latents [b, c, h, w] at the end of the chains."""
        x = self.noise()
        for index in reversed(range(self.chain.count)):
            x = self._advance(x, index, self.noise() if index else None)
        return x

    def tell(self, moves: dict[str, dict[int, list[float]]]) -> None:
        """Add RMS of moves over sigma, by guide and time."""
        for name, by_time in self.sizes.items():
            for time, sizes in by_time.items():
                moves.setdefault(name, {}).setdefault(time, []).extend(sizes.tolist())

    def _advance(self, x: Tensor, index: int, noise: Tensor | None) -> Tensor:
        """A step, guided where guides say so; a guided one may be taken several times."""
        step = self.chain.steps[index]
        active = {
            name: move
            for name, move in self.moves.items()
            if self.guides[name].window[0] <= step.time <= self.guides[name].window[1]
        }
        if not active:
            with torch.no_grad():
                output, null = self._predict(x, index)
                if self.ghost:
                    self.ghost.advance(index, output, null)
                return self.chain.step(x, index, output, noise)
        for turn in range(self.settings.repeat):
            if turn:
                x = (1 - step.beta) ** 0.5 * x + step.beta**0.5 * self.again()
                noise = self.again() if index else None
            x = self._guided(x, index, noise, active)
        return x

    def _guided(self, x: Tensor, index: int, noise: Tensor | None, active: Mapping[str, Move]) -> Tensor:
        """A guided step."""
        step, leaf = self.chain.steps[index], x.detach().requires_grad_()
        with torch.set_grad_enabled(self._differentiates(active)):
            output, null = self._predict(leaf, index)
            predicted, position = output.chunk(2, 1)
            views = [step.clean(leaf, predicted)]
            if self.ghost:
                views.append(self.ghost.estimate(index, predicted, null))
        sigma = (0.5 * step.log_variance(position.detach())).exp()
        point = Point(step, x, predicted.detach(), torch.stack(views, 1), leaf, sigma)
        output = output.detach()
        if self.ghost:
            self.ghost.advance(index, output, null.detach())
        plain = self.chain.step(x, index, output, noise)
        for name, move in active.items():
            moved = move(point)
            self._check(name, moved, step.time)
            self.sizes.setdefault(name, {})[step.time] = (rms(moved) / rms(sigma)).flatten()
            plain = plain - moved
        return plain

    def _predict(self, x: Tensor, index: int) -> tuple[Tensor, Tensor | None]:
        """Guided noise and variances [b, 2c, h, w], and those of the null class for the ghost."""
        if self.ghost:
            return self.chain.predict_with_null(x, index, self.labels)
        return self.chain.predict(x, index, self.labels), None

    def _differentiates(self, active: Mapping[str, Move]) -> bool:
        """Whether a move of this step needs the network's derivative."""
        return "influence" in active and self.settings.influence_through == "network"

    def _check(self, name: str, moved: Tensor, time: int) -> None:
        """Refuse a move that is not finite."""
        spoilt = (~moved.flatten(1).isfinite().all(1)).nonzero()
        if len(spoilt):
            cls = self.targets[int(spoilt[0])].name
            raise InputError(
                f"{name} moves image {self.number + 1} of class {cls!r} to what is not finite, at {time}: "
                "weaken its weight, or look at the generator and the surrogate."
            )

    def _noise(self, *purpose: str) -> Callable[[], Tensor]:
        """Noise [b, c, h, w] of the images, the plain chain's or of a purpose of its own."""
        images = [(target.name, self.number) for target in self.targets]
        return self.chain.noise(self.settings.seed, images, *purpose)


class Ghost:
    """The second half of the release's state: noise of its own, predicted from the first half.

    RELEASE: classifier-free guidance is taken of a doubled batch, of which the network sees the first half
    twice; the second keeps the unguided channels and the variances of the null class.
    """

    def __init__(self, chain: Chain, noise: Callable[[], Tensor]) -> None:
        self.chain, self.noise = chain, noise
        self.x = noise()

    def estimate(self, index: int, predicted: Tensor, null: Tensor) -> Tensor:
        """Estimate of the ghost's image, given noise [b, c, h, w] and the null class's prediction."""
        return self.chain.steps[index].clean(self.x, self._noise(predicted, null)[0])

    def advance(self, index: int, output: Tensor, null: Tensor) -> None:
        """The plain step."""
        both = torch.cat(self._noise(output.chunk(2, 1)[0], null), 1)
        self.x = self.chain.step(self.x, index, both, self.noise() if index else None)

    def _noise(self, predicted: Tensor, null: Tensor) -> tuple[Tensor, Tensor]:
        """Noise and variances of the ghost."""
        own, position = null.chunk(2, 1)
        guided = self.chain.guided_channels or own.shape[1]
        return torch.cat([predicted[:, :guided], own[:, guided:]], 1), position
