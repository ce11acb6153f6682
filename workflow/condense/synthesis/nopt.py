"""DsCo: images of a class whose step noises are optimised together (method kind `nopt`)."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.base.progress import say
from condense.base.seeds import stream
from condense.config.synthesis import NoiseOptimisation
from condense.synthesis.chain import Chain, Target
from condense.synthesis.given import Given
from condense.synthesis.hypercube import draw_noise
from condense.synthesis.noise_optimisation import (
    AlignmentLoss,
    Descent,
    Penalty,
    TemplateLoss,
    optimise_noise,
)
from condense.synthesis.projector import Projector
from condense.synthesis.references import FeatureReference, coarser
from condense.synthesis.stored_references import reference_of

CLASSES_AT_ONCE = 10  # on a GPU


def make_optimised(
    chain: Chain,
    classes: Sequence[Target],
    budget: int,
    settings: NoiseOptimisation,
    given: Given,
    finished: Mapping[str, Tensor],
) -> Iterator[tuple[str, Tensor]]:
    """Latents [budget, c, h, w] of each class, a class at once.

    By themselves, as on a CPU, classes give the same bytes in any shard. Several at once differ by the last
    bits, which sorting may magnify; a group of which a class is missing is therefore made again whole.
    """
    together = settings.classes_at_once or (1 if chain.device.type == "cpu" else CLASSES_AT_ONCE)
    for start in range(0, len(classes), together):
        group = classes[start : start + together]
        missing = [target.name not in finished for target in group]
        if not any(missing):
            continue
        references = [reference_of(chain, target, budget, settings, given) for target in group]
        made = optimise_classes(chain, group, budget, settings, references)
        for target, latents, wanted in zip(group, made, missing, strict=True):
            if wanted:
                yield target.name, latents


@torch.no_grad()
def optimise_classes(
    chain: Chain,
    classes: Sequence[Target],
    budget: int,
    settings: NoiseOptimisation,
    references: Sequence[FeatureReference | None],
) -> Tensor:
    """Latents [k, budget, c, h, w] of k classes, all images of a class jointly.

    Prints how long the optimised noise is, relative to normal noise: L_real keeps its norm at sqrt(D).
    Raises InputError where the noise of a class becomes non-finite, which a weight that is too large does.
    """
    images = [(target.name, number) for target in classes for number in range(budget)]
    size = (len(classes), budget, *chain.shape)
    numbers = torch.tensor([target.label for target in classes], device=chain.device)
    labels = numbers.repeat_interleave(budget)
    noise = chain.noise(settings.seed, images)
    x = _start(noise().view(size), classes, settings)
    penalty_at = _penalties(references, budget, settings)
    lengths = []  # relative, [k, budget] of each step
    for index in reversed(range(chain.count)):
        output = chain.predict(x.flatten(0, 1), index, labels).unflatten(0, size[:2])
        predicted, position = output.chunk(2, 2)
        mean = chain.steps[index].mean(x, predicted)
        if not index:
            break
        deviation = (0.5 * chain.steps[index].log_variance(position)).exp()
        free = noise().view(size)
        if index > settings.unoptimised:
            free = optimise_noise(mean, deviation, free, penalty_at(index), descent_of(settings))
            _check(free, classes, index, settings)
            lengths.append(free.flatten(2).square().mean(2).sqrt())
        x = torch.addcmul(mean, deviation, free)
    if lengths:
        _tell(classes, torch.stack(lengths, 1))
    return mean


def descent_of(settings: NoiseOptimisation) -> Descent:
    """How the noise is moved, by the settings."""
    return Descent(
        settings.iterations,
        settings.learning_rate,
        settings.momentum,
        settings.keep_norm,
        settings.mode,
        settings.passes,
    )


def _start(normal: Tensor, classes: Sequence[Target], settings: NoiseOptimisation) -> Tensor:
    """Noise [k, n, c, h, w] that the chains of the classes start from; `normal` is that of plain samples."""
    if settings.start_form == "normal":
        return normal
    shape = normal.shape[2:]
    drawn = [
        draw_noise(settings.start_form, normal.shape[1], shape, stream("start", settings.seed, target.name))
        for target in classes
    ]
    return torch.stack(drawn).to(normal)


def _penalties(
    references: Sequence[FeatureReference | None], budget: int, settings: NoiseOptimisation
) -> Callable[[int], Penalty | None]:
    """The loss of the samples of a step, by the step's index; none where nothing is aligned."""
    if not settings.align:
        return lambda index: None
    shared = settings.one_projector
    projector = references[0].projector if shared else Projector.stack([one.projector for one in references])
    mean, deviation = (
        torch.stack([getattr(one, key) for one in references]) for key in ("mean", "deviation")
    )
    if not settings.data:
        weights = (settings.occupation, settings.template_mean, settings.template_deviation)
        return lambda index: TemplateLoss(projector, mean[:, index - 1], deviation[:, index - 1], weights)
    targets = torch.stack([coarser(one.targets, budget) for one in references])

    def aligned(index: int) -> Penalty:
        row = index - 1
        return AlignmentLoss(
            projector, mean[:, row, None], deviation[:, row, None], targets[:, row], settings.weight
        )

    return aligned


def _tell(classes: Sequence[Target], lengths: Tensor) -> None:
    """Say relative lengths [k, steps, n] of the noise of each class."""
    for target, own in zip(classes, lengths.cpu(), strict=True):
        least, most = own.aminmax()
        say(
            f"class {target.name!r}: optimised noise is {own.mean():.3f} times as long as normal noise, "
            f"over steps and images {least:.3f} to {most:.3f}"
        )


def _check(noise: Tensor, classes: Sequence[Target], index: int, settings: NoiseOptimisation) -> None:
    """Refuse noise that is not finite."""
    finite = noise.isfinite().flatten(1).all(1).tolist()
    if all(finite):
        return
    name = classes[finite.index(False)].name
    weights = (
        f"weight (lambda) {settings.weight:g}"
        if settings.data
        else f"weights {settings.occupation:g}, {settings.template_mean:g}, {settings.template_deviation:g}"
    )
    raise InputError(
        f"the noise of class {name!r} is not finite after step {index} of the chain, with {weights} and "
        f"learning rate {settings.learning_rate:g}: give less weight, or a lower rate."
    )
