"""Features and settings that have no objective are refused."""

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.config.settings import Gadc


def check(features: Tensor, nll: Tensor | None, settings: Gadc) -> None:
    """Refuse what has no objective."""
    if features.ndim != 3:
        raise InputError(f"features have shape {tuple(features.shape)}; they must be [classes, n, d].")
    if nll is not None and nll.shape != features.shape[:2]:
        raise InputError(f"-log p has shape {tuple(nll.shape)}; it must be [classes, n] as the features.")
    finite = torch.isfinite(features).all(2)
    if not finite.all():
        row = (~finite).nonzero()[0, 1].item()
        raise InputError(f"the features of image {row} of a class are not finite; leave that image out.")
    for name, least in (("alpha", 0), ("beta", 0), ("capacity", 1)):
        if not getattr(settings, name) >= least:
            raise InputError(f"{name} is {getattr(settings, name)}; it must be at least {least}.")
    if not settings.epsilon > 0:
        raise InputError(f"epsilon is {settings.epsilon}; it must be positive.")
    if settings.beta > 0 and nll is None:
        raise InputError("the confidence term (beta > 0) needs probabilities; give them, or set beta to 0.")
    if nll is not None and not ((nll >= 0) & torch.isfinite(nll)).all():
        raise InputError("probabilities of the own class must lie in (0, 1].")
