"""Way to make images nopt: what images depend on, what they need, and what goes wrong."""

import re
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from condense.base.errors import InputError
from condense.base.seeds import stream
from condense.config.options import build
from condense.config.synthesis import NoiseOptimisation
from condense.diffusion.autoencoders import Pixels
from condense.synthesis import stored_references
from condense.synthesis.chain import Chain, Target
from condense.synthesis.nopt import make_optimised
from condense.synthesis.samples import draw_images

CLASSES = [Target("cat", 0, 2), Target("dog", 1, 0), Target("eel", 2, 1)]
TINY = {"kind": "nopt", "steps": 4, "guidance": 2.0, "groups": 2, "iterations": 3, "weight": 4e-3}


def network(x: Tensor, t: Tensor, labels: Tensor, captions: Tensor | None = None) -> Tensor:
    """Stand-in whose noise depends on x, time and label, and whose variances are between their bounds."""
    share = (t.float() / 1000)[:, None, None, None]
    centre = (labels.float() % 3 - 1)[:, None, None, None]
    return torch.cat([share * (x - 0.5 * centre), 0.1 * x.tanh()], 1)


network.classes = 3


def tiny_chain(**changed: object) -> Chain:
    settings = {"count": 4, "guidance": 2.0, "guided_channels": None} | changed
    return Chain(network, (3, 8, 8), Pixels(), torch.device("cpu"), **settings)


class RealLatents:
    """Latents of a few real images of each class, and how often they were asked for."""

    references = None
    generator = "digest"

    def __init__(self, count: int = 6, deviation: bool = False) -> None:
        self.count, self.deviation, self.asked = count, deviation, 0

    def real(self, index: int) -> tuple[Tensor, Tensor | None]:
        self.asked += 1
        draws = stream("real", index)
        mean = torch.randn(self.count, 3, 8, 8, generator=draws)
        return mean, torch.full_like(mean, 0.1) if self.deviation else None


def made(classes=CLASSES, budget: int = 4, given=None, finished=None, **changed: object) -> dict[str, Tensor]:
    settings = build(NoiseOptimisation, TINY | changed)
    given = given or RealLatents()
    steps = tiny_chain(count=settings.steps)
    return dict(make_optimised(steps, classes, budget, settings, given, finished or {}))


def test_images_depend_on_their_class_alone_whatever_is_made_beside_them():
    whole = made()
    assert [*whole] == ["cat", "dog", "eel"] and whole["cat"].shape == (4, 3, 8, 8)
    shuffled = made(CLASSES[::-1])
    alone = made(CLASSES[1:2])
    for name, latents in whole.items():
        assert (shuffled[name] == latents).all()
    assert (alone["dog"] == whole["dog"]).all()
    together = made(classes_at_once=2)
    for name, latents in whole.items():
        assert_close(together[name], latents, rtol=0, atol=1e-4)
    for other in (made(seed=1), made(projector_seed=1), made(budget=5)):
        assert not torch.allclose(other["dog"][:4], whole["dog"], atol=1e-3)


@pytest.mark.parametrize("together", [1, 2])
def test_an_interrupted_run_goes_on_to_the_same_bytes(together):
    whole = made(classes_at_once=together)
    rest = made(finished={"cat": whole["cat"]}, classes_at_once=together)
    assert [*rest] == ["dog", "eel"]
    for name, latents in rest.items():
        assert (latents == whole[name]).all()


def test_without_its_terms_it_draws_plain_samples():
    plain = made(start="normal", align=False, keep_norm=False)
    for target in CLASSES:
        images = [(target.name, number) for number in range(4)]
        assert_close(
            plain[target.name], draw_images(tiny_chain(), images, target.label, 0), rtol=0, atol=1e-6
        )


def test_it_says_how_long_the_noise_of_each_class_is(capsys):
    sentence = r"class '(\w+)': optimised noise is ([\d.]+) times as long as normal noise, .*"
    for terms, least, most in (({"align": False}, 0.99, 1.01), ({"keep_norm": False}, 2, 100)):
        made(CLASSES[:2], iterations=50, **terms)
        told = [re.fullmatch(sentence, line) for line in capsys.readouterr().err.splitlines()]
        assert [found[1] for found in told] == ["cat", "dog"]
        assert all(least < float(found[2]) < most for found in told)


@pytest.mark.parametrize("changed", [{}, {"align": False, "data": True}])
def test_without_real_data_no_real_image_is_asked_for(changed):
    given = RealLatents()
    found = made(given=given, **{"data": False, "templates": 5} | changed)
    assert given.asked == 0 and found["cat"].isfinite().all()
    assert build(NoiseOptimisation, TINY | {"data": False} | changed).needs == ()
    assert build(NoiseOptimisation, TINY).needs == ("real",)


@pytest.mark.parametrize(
    "changed",
    [
        {"mode": "fast", "passes": 2},
        {"level": "input"},
        {"start": "jitter"},
        {"projectors": "one"},
        {"draws": 2},
        {"keep_norm": False},
        {"align": False},
        {"unoptimised": 2},
        {"data": False, "templates": 5},
        {"data": False, "templates": 5, "occupation": 1.0},
        {"data": False, "templates": 5, "template_mean": 0.0},
        {"data": False, "templates": 5, "template_deviation": 0.0},
        {"data": False, "templates": 5, "projectors": "own"},
    ],
)
def test_every_setting_changes_the_images(changed):
    usual = {"data": False, "templates": 5} if len(changed) > 2 else {}
    assert not torch.allclose(made(**changed)["eel"], made(**usual)["eel"], atol=1e-6)


@pytest.mark.parametrize("budget", [1, 2, 9])
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("mode", ["released", "fast"])
def test_few_real_images_and_few_made_ones_are_enough(budget, count, mode):
    found = made(CLASSES[:1], budget, RealLatents(count), mode=mode)["cat"]
    assert found.isfinite().all() and len(found) == budget
    free = made(CLASSES[:1], budget, data=False, templates=2, mode=mode)["cat"]
    assert free.isfinite().all() and len(free) == budget


def test_a_weight_that_is_too_large_is_one_sentence_that_names_it_and_the_step():
    with pytest.raises(InputError, match=r"class 'cat' is not finite after step 3 .* \(lambda\) 1e\+30 and"):
        made(weight=1e30, iterations=20)
    with pytest.raises(InputError, match=r"weights 1e\+30, 0\.001, 0\.001"):
        made(data=False, templates=4, occupation=1e30, learning_rate=1e10, iterations=20)


def test_latents_that_the_projector_cannot_take_are_one_sentence():
    settings = build(NoiseOptimisation, TINY | {"data": False, "templates": 2})
    small = Chain(network, (3, 4, 4), Pixels(), torch.device("cpu"), 4, 2.0)
    with pytest.raises(InputError, match="latents are 4 x 4"):
        dict(make_optimised(small, CLASSES, 2, settings, RealLatents(), {}))


def test_what_an_edited_formula_was_compared_with_is_computed_anew(tmp_path, monkeypatch):
    given = RealLatents()
    given.references = tmp_path / "kept"
    made(CLASSES[:1], given=given, runs=8)
    monkeypatch.setattr(stored_references, "code", lambda start: f"edited {start}")
    made(CLASSES[:1], given=given, runs=8)
    assert len([*given.references.iterdir()]) == 2


def test_latents_of_real_images_are_draws_of_their_posterior():
    spread = made(given=RealLatents(deviation=True))
    assert not torch.allclose(spread["cat"], made()["cat"], atol=1e-6)
    assert (spread["cat"] == made(given=RealLatents(deviation=True))["cat"]).all()


def test_what_classes_are_compared_with_is_computed_once(tmp_path):
    given = RealLatents()
    given.references = tmp_path / "kept"
    usual = made(given=given, runs=8)
    kept = {path: path.read_bytes() for path in given.references.iterdir()}
    assert len(kept) == 3
    for changed in ({"seed": 1}, {"weight": 1e-3}, {"budget": 8}, {"mode": "fast"}):
        made(given=given, runs=8, **changed)
    assert {path: path.read_bytes() for path in given.references.iterdir()} == kept
    assert (made(runs=8)["cat"] == usual["cat"]).all()
    for first, second in pairwise(sorted(kept)):  # a class with another's projector is another class
        assert first.read_bytes() != second.read_bytes()
    next(iter(kept)).write_bytes(b"damaged")
    assert (made(given=given, runs=8)["dog"] == usual["dog"]).all()
    assert {path: path.read_bytes() for path in given.references.iterdir()} == kept
    for changed in ({"projector_seed": 1}, {"level": "input"}, {"data": False, "templates": 2}):
        made(CLASSES[:1], given=given, runs=8, **changed)
    assert len([*given.references.iterdir()]) == 6


def test_budgets_that_do_not_divide_the_runs_are_one_sentence():
    with pytest.raises(InputError, match="4 images per class do not divide 6 runs"):
        made(runs=6)
