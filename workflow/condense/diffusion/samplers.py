"""Ways to draw images: every sampler is a function of (predict, x, steps, noise) -> images [b, c, h, w].

`predict(x, t)` is the network, guided already; x is the starting noise; `noise(i)` is called at most once per
step, in the order of the steps, and returns fresh normal noise shaped like x from each image's own stream.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from condense.base.errors import InputError
from condense.diffusion import adm, flow
from condense.diffusion.adm import Predict


def dpm_solver(
    predict: Predict, x: Tensor, steps: int, noise: Callable[[int], Tensor] | None = None
) -> Tensor:
    """Second-order DPM-Solver++ of diffusers for ADM diffusion (Lu et al. 2022); `noise` is not drawn."""
    from diffusers import DPMSolverMultistepScheduler

    if not 1 <= steps < adm.TIMES:
        raise InputError(f"sampling.steps is {steps}; DPM-Solver++ takes 1 to {adm.TIMES - 1} steps.")
    solver = DPMSolverMultistepScheduler(adm.TIMES, 1e-4, 0.02, "linear", timestep_spacing="linspace")
    solver.set_timesteps(steps, device=x.device)
    for t in solver.timesteps:
        predicted = predict(x, t.expand(len(x)))[:, : x.shape[1]].to(x.dtype)
        x = solver.step(predicted, t, x).prev_sample
    return x


SAMPLERS = {
    "ddpm": adm.ddpm,
    "ddim": adm.ddim,
    "dpm-solver": dpm_solver,
    "euler": flow.euler,
    "heun": flow.heun,
    "euler-maruyama": flow.euler_maruyama,
}


def guide(
    network: Callable[..., Tensor],
    labels: Tensor,
    scale: float,
    channels: int | None = None,
    text: Tensor | None = None,
) -> Predict:
    """Classifier-free guidance (Ho and Salimans 2022) of a network for labels [b].

    Args:
        network: Transformer; its null class is its number of classes, its null caption is zero.
        labels: Classes [b].
        scale: 1 is no guidance, at no extra cost.
        channels: Guide only so many leading channels of the prediction (3 as DiT is released); all when None.
            Learned variances are never guided.
        text: Masked caption states [b, tokens, width], where the network takes captions.
    """
    if scale == 1:
        return lambda x, t: network(x, t, labels, text)
    both = with_null(network, labels, text)
    return lambda x, t: lead(*both(x, t), scale, min(channels or x.shape[1], x.shape[1]))


def with_null(
    network: Callable[..., Tensor], labels: Tensor, text: Tensor | None = None
) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Function of x [b, c, h, w] and t [b]: what the network gives for labels [b], and for the null class."""
    both = torch.cat([labels, torch.full_like(labels, network.classes)])
    texts = None if text is None else torch.cat([text, torch.zeros_like(text)])
    return lambda x, t: network(torch.cat([x, x]), torch.cat([t, t]), both, texts).chunk(2)


def lead(given: Tensor, null: Tensor, scale: float, channels: int) -> Tensor:
    """Prediction `given` led away from that of the null class in its first channels, by a scale."""
    return torch.cat([torch.lerp(null[:, :channels], given[:, :channels], scale), given[:, channels:]], 1)
