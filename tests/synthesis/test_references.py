"""What samples are compared with: diffused real latents as the release draws them, and targets from them."""

import math

import pytest
import torch
from torch.testing import assert_close

from condense.base.seeds import stream
from condense.diffusion import adm
from condense.synthesis.references import (
    FeatureReference,
    align_with,
    coarser,
    diffuse_latents,
    diffused_count,
    levels,
    run_means,
)
from golden_concentration import projector, read_json


def test_the_number_of_diffused_latents_equals_the_releases():
    for real, samples, expected in read_json("diffused_counts")["rows"]:
        assert diffused_count(real, samples)[1] == expected


@pytest.mark.parametrize(("real", "runs"), [(3, 4), (2, 40), (70, 10), (1, 1), (5, 66)])
def test_every_latent_is_diffused_with_noises_that_fill_a_hypercube(real, runs):
    latents = torch.arange(real, dtype=torch.float32)[:, None, None, None].expand(-1, 1, 4, 4)
    share = 0.25
    noisy = torch.cat([*diffuse_latents(100 * latents, share, runs, 5, stream("test"))])
    each, total = diffused_count(real, runs)
    assert len(noisy) == total
    whose = (noisy.mean((1, 2, 3)) / 50).round().long()
    assert (whose.bincount(minlength=real) >= each).all()
    noise = (noisy - 50 * whose[:, None, None, None]) / math.sqrt(1 - share)
    piece = min(real, 64)
    first = noise[: 5 * piece : piece].flatten(1)  # the five noises of the first latent
    assert ((torch.special.ndtr(first.double()) * 5).long().sort(0).values == torch.arange(5)[:, None]).all()
    if real > 1:
        assert not torch.equal(noise[0], noise[1])


def test_targets_are_means_of_equal_runs_of_sorted_standardised_features():
    features = torch.randn(12, 5, generator=stream("test"), dtype=torch.float64)
    mean, deviation, targets = run_means(features, 3)
    assert_close(mean, features.mean(0))
    assert_close(deviation, features.std(0, correction=0))
    ordered = sorted(((features[:, 2] - mean[2]) / deviation[2]).tolist())
    expected = [sum(ordered[at : at + 4]) / 4 for at in (0, 4, 8)]
    assert_close(targets[:, 2].tolist(), expected)
    assert_close(coarser(run_means(features, 12)[2][None], 3)[0], targets)


def test_a_reference_has_the_noise_level_of_each_step_but_the_last_and_comes_back_from_its_tensors():
    steps = adm.chain(5)
    output, input_ = (levels(steps, level) for level in ("output", "input"))
    assert output == [step.cumulative for step in steps[:-1]]
    assert input_ == [step.cumulative for step in steps[1:]]
    latents = torch.randn(4, 4, 8, 8, generator=stream("test"))
    streams = [stream("diffused", index) for index in range(4)]
    found = align_with(latents, projector(), output, 6, 5, streams)
    assert found.mean.shape == (4, 256) and found.targets.shape == (4, 6, 256)
    pieces = diffuse_latents(latents, output[2], 6, 5, stream("diffused", 2))
    features = torch.cat([projector().pooled(piece[None])[0] for piece in pieces])
    mean, deviation, targets = run_means(features, 6)
    for own, expected in ((found.mean, mean), (found.deviation, deviation), (found.targets, targets)):
        assert_close(own[2], expected, rtol=0, atol=1e-6)
    back = FeatureReference.of(found.tensors(), 2)
    assert torch.equal(back.targets, found.targets)
    for own, kept in zip(back.projector.weights, found.projector.weights, strict=True):
        assert torch.equal(own, kept)
