"""Linear flow matching: x_t = (1 - t) x + t e, whose velocity e - x the network predicts (Ma et al. 2024).

Samplers go from t = 1 (noise) to t = 0 (image) and keep the state in float64, whatever the network's type.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]  # network: x [b, c, h, w], t [b] -> velocity


def draw_times(count: int, generator: torch.Generator) -> Tensor:
    """Uniform times [count] in [0, 1), on the generator's device."""
    return torch.rand(count, generator=generator, device=generator.device)


def time_at(share: float) -> float:
    """Time at a share of the way from image (0) to noise (1)."""
    return share


def diffuse(clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Noisy images [b, c, h, w] at times t [b]."""
    return torch.lerp(clean, noise, t[:, None, None, None].to(clean.dtype))


def losses(predict: Predict, clean: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Squared error [b] of the velocity for images [b, c, h, w] at times [b] in [0, 1]."""
    velocity = predict(diffuse(clean, t, noise), t)
    return (velocity - (noise - clean)).square().flatten(1).mean(1)


def euler(predict: Predict, x: Tensor, steps: int, noise: Callable[[int], Tensor] | None = None) -> Tensor:
    """Euler's method for the probability-flow ODE, from noise x [b, c, h, w]; `noise` is not drawn."""
    state = x.double()
    for i in range(steps):
        state = state - _velocity(predict, state, 1 - i / steps, x.dtype) / steps
    return state.to(x.dtype)


def heun(predict: Predict, x: Tensor, steps: int, noise: Callable[[int], Tensor] | None = None) -> Tensor:
    """Heun's method for the probability-flow ODE, from noise x [b, c, h, w]; `noise` is not drawn.

    Takes 2 * steps - 1 evaluations: the last step is Euler's (RELEASE).
    """
    state = x.double()
    for i in range(steps):
        velocity = _velocity(predict, state, 1 - i / steps, x.dtype)
        if i + 1 < steps:
            ahead = _velocity(predict, state - velocity / steps, 1 - (i + 1) / steps, x.dtype)
            velocity = (velocity + ahead) / 2
        state = state - velocity / steps
    return state.to(x.dtype)


def euler_maruyama(predict: Predict, x: Tensor, steps: int, noise: Callable[[int], Tensor]) -> Tensor:
    """Euler-Maruyama for the reverse SDE with diffusion 2t, from noise x [b, c, h, w].

    The score is -e / t, where e = x + (1 - t) v is the noise implied by the velocity, so the drift is v + e.
    The last step, from t = 0.04, adds no noise (Ma et al. 2024, sec. 4; RELEASE).
    """
    times = [*torch.linspace(1, 0.04, steps, dtype=torch.float64).tolist(), 0.0]
    state = x.double()
    for i in range(steps):
        t, span = times[i], times[i] - times[i + 1]
        velocity = _velocity(predict, state, t, x.dtype)
        state = state - span * (velocity + state + (1 - t) * velocity)
        if i + 1 < steps:
            state = state + math.sqrt(2 * t * span) * noise(i)
    return state.to(x.dtype)


def _velocity(predict: Predict, state: Tensor, t: float, dtype: torch.dtype) -> Tensor:
    """Network's velocity in float64, evaluated in `dtype`."""
    return predict(state.to(dtype), torch.full((len(state),), t, dtype=dtype, device=state.device)).double()
