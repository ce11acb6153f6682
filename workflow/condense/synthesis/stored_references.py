"""References of the classes of a study: of real latents or plain samples, kept as artefacts."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from condense.base.artefacts import checksum, read_artefact, write_artefact
from condense.base.digest import code
from condense.base.errors import InputError
from condense.base.seeds import seed_of, stream
from condense.config.synthesis import NoiseOptimisation
from condense.synthesis.chain import Chain, Target
from condense.synthesis.given import Given
from condense.synthesis.projector import Projector
from condense.synthesis.references import FeatureReference, align_with, levels, template
from condense.synthesis.samples import draw_steps


@torch.no_grad()
def reference_of(
    chain: Chain, target: Target, budget: int, settings: NoiseOptimisation, given: Given
) -> FeatureReference | None:
    """What the samples of a class are compared with; None where nothing is aligned.

    It depends on the class, the projector's seed and what is compared alone, not on weights, nor on the seed
    of the noise. Without `settings.data` nothing of the real images is asked for.
    """
    if not settings.align:
        return None
    if settings.data:
        return _of_real(chain, target, settings.runs or budget, settings, given)
    return _of_samples(chain, target, settings, given)


def _of_real(
    chain: Chain, target: Target, runs: int, settings: NoiseOptimisation, given: Given
) -> FeatureReference:
    mean, deviation = given.real(target.index)
    key = (settings.steps, settings.level, runs, settings.draws, _digest(mean, deviation))

    def compute() -> FeatureReference:
        latents = mean
        if deviation is not None:  # RELEASE: one draw of the posterior of each image
            draws = stream("posterior", settings.projector_seed, target.name)
            latents = mean + deviation * torch.randn(mean.shape, generator=draws).to(mean)
        streams = [
            stream("diffused", settings.projector_seed, target.name, index)
            for index in range(1, settings.steps)
        ]
        shares = levels(chain.steps, settings.level)
        projector = _projector(chain, target, settings)
        return align_with(latents, projector, shares, runs, settings.draws, streams)

    return _stored(given.references, compute, target, settings, *key)


def _of_samples(chain: Chain, target: Target, settings: NoiseOptimisation, given: Given) -> FeatureReference:
    key = (settings.steps, settings.templates, settings.guidance, settings.guided_channels, given.generator)

    def compute() -> FeatureReference:
        return template(_projector(chain, target, settings), _plain_samples(chain, target, settings))

    return _stored(given.references, compute, target, settings, *key)


def _plain_samples(chain: Chain, target: Target, settings: NoiseOptimisation) -> Iterator[Tensor]:
    """Plain samples [templates, c, h, w] after each step of their chain but the last.

    RELEASE: there they start where the made images do; here they have noise of their own.
    """
    images = [(target.name, number) for number in range(settings.templates)]
    steps = draw_steps(chain, images, target.label, seed_of("template", settings.projector_seed))
    return islice(steps, chain.count - 1)


def _projector(chain: Chain, target: Target, settings: NoiseOptimisation) -> Projector:
    """Projector of a class, or the one of all."""
    whose = () if settings.one_projector else (target.name,)
    draws = stream("projector", settings.projector_seed, *whose)
    drawn = Projector.draw(chain.shape[0], settings.groups, draws)
    return drawn.to(torch.zeros((), device=chain.device))


def _stored(
    folder: Path | None,
    compute: Callable[[], FeatureReference],
    target: Target,
    settings: NoiseOptimisation,
    *key: object,
) -> FeatureReference:
    """A reference from the folder, else computed and kept there; a damaged file counts as none."""
    if folder is None:
        return compute()
    made_by = code("synthesis.stored_references.reference_of")  # an edited formula has other references
    key = (made_by, target.name, settings.projector_seed, settings.groups, settings.one_projector, *key)
    path = folder / f"{hashlib.sha256(repr(key).encode()).hexdigest()[:20]}.safetensors"
    if path.exists():
        with suppress(InputError):
            return FeatureReference.of(read_artefact(path, "a reference")[1], settings.groups)
    found = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_artefact(path, {"class": target.name}, found.tensors())
    return found


def _digest(*tensors: Tensor | None) -> tuple[int, ...]:
    return tuple(checksum(tensor.cpu()) for tensor in tensors if tensor is not None)
