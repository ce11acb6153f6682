"""IGD and OT-DD on the digits: what an image depends on, where it is guided, and what is refused."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from analytic import digits, digits_chain
from commands import call
from condense.base.errors import InputError
from condense.config.guidance import InfluenceGuided, TransportGuided
from condense.config.options import build
from condense.config.settings import Images
from condense.config.students import StudentNetwork
from condense.diffusion.autoencoders import Pixels
from condense.images.index import index
from condense.images.preprocess import Preprocess
from condense.students.networks import initialised
from condense.students.student import write_student
from condense.synthesis import guided
from condense.synthesis.chain import Chain, Target
from condense.synthesis.given import Given
from condense.synthesis.guided import GuidedRun, make_guided
from condense.synthesis.samples import draw_images
from golden_networks import small

NAMES = [str(number) for number in range(10)]
TARGETS = [Target(name, number, number) for number, name in enumerate(NAMES)]
EPOCHS = 2
FEW = {"steps": 12, "reference_images": 5}  # 12 steps, of which four lie in the window


def write_surrogate(path: Path, keep: str = "epochs", side: int = 8) -> Path:
    """A student whose epochs are random networks."""
    chosen = StudentNetwork(depth=2, width=8)
    half = (0.5, 0.5, 0.5)
    about = Preprocess(side=side, resize=side, interpolation="bilinear", mean=half, std=half)
    weights = {f"epoch{n}": initialised(chosen, side, 10, n).state_dict() for n in range(EPOCHS + 1)}
    weights |= {which: initialised(chosen, side, 10, 9).state_dict() for which in ("best", "last")}
    write_student(path, chosen, about, NAMES, weights, recipe={"keep": keep}, epochs=EPOCHS)
    return path


@dataclass(frozen=True)
class Digits(Given):
    """What a job is given, with latents of the digits; at most `most` of each class."""

    most: int = 1000
    spoilt: dict[int, float] = field(default_factory=dict)

    def real(self, index: int) -> tuple[Tensor, None]:
        """All digits of a class, which are their own latents."""
        images, labels = digits()
        return images[labels == index][: self.most] * self.spoilt.get(index, 1), None


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Digits:
    folder = tmp_path_factory.mktemp("guided")
    settings = Images(source="digits")
    call(index, "--source", "digits", "--output", folder / "index.csv")
    path = write_surrogate(folder / "surrogate.safetensors")
    return Digits(
        torch.device("cpu"), surrogate_weights=path, reference_index=folder / "index.csv", dataset=settings
    )


@pytest.fixture(scope="module")
def chain() -> Chain:
    images, labels = digits()
    return digits_chain(images, labels, count=12)


def igd(**changes: object) -> InfluenceGuided:
    return build(InfluenceGuided, {"kind": "igd"} | FEW | changes)


def otg(**changes: object) -> TransportGuided:
    return build(TransportGuided, {"kind": "otg", "support_size": 16} | FEW | changes)


def make(chain: Chain, given: Given, settings, classes=TARGETS, budget=3, finished=()) -> dict[str, Tensor]:
    """Latents of each class, with those that were finished."""
    made = dict(finished)
    for name, latent in make_guided(chain, classes, budget, settings, given, dict(finished)):
        made[name] = torch.cat([made[name], latent]) if name in made else latent
    assert all(len(latents) == budget for latents in made.values())
    return made


def same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> bool:
    return all(torch.equal(latents, expected[name]) for name, latents in found.items())


@pytest.mark.parametrize("settings", [igd(), igd(ghost=True), otg(), otg(support="redrawn", cost="sphere")])
def test_an_image_depends_on_its_class_number_seed_settings_and_earlier_images_alone(chain, given, settings):
    whole = make(chain, given, settings, TARGETS[:5])
    assert same(make(chain, given, settings, TARGETS[3:1:-1]), whole)  # a shard
    assert same(make(replace(chain, batch=1), given, replace(settings, batch=1), TARGETS[:2]), whole)
    some = {name: latents[: 1 + int(name) % 3] for name, latents in whole.items() if name != "4"}
    assert same(make(chain, given, settings, TARGETS[:5], finished=some), whole)  # an interrupted run
    fewer = make(chain, given, settings, TARGETS[3:4], budget=1)
    assert torch.equal(fewer["3"], whole["3"][:1])
    other = make(chain, given, replace(settings, seed=1), TARGETS[3:4])
    assert not torch.equal(other["3"], whole["3"])


def test_nor_does_it_depend_on_others_in_the_network_of_a_generator(given):
    network = small(channels=3, classes=10, learn_sigma=True).requires_grad_(False)
    chain = Chain(network, (3, 8, 8), Pixels(), torch.device("cpu"), 12, 2.0)
    whole = make(chain, given, igd(deviation_weight=120), TARGETS[:9], budget=2)
    assert same(make(chain, given, igd(deviation_weight=120), TARGETS[6:7], budget=2), whole)
    assert same(make(chain, given, igd(deviation_weight=120, batch=4), TARGETS[2:8], budget=2), whole)


def test_the_ghost_costs_no_pass_of_the_network(given):
    images, labels = digits()

    def rows(ghost: bool) -> int:
        chain, counted = digits_chain(images, labels, count=12, guidance=2.0), []
        network = chain.network

        def forward(x: Tensor, *more: Tensor) -> Tensor:
            counted.append(len(x))
            return network(x, *more)

        forward.classes = network.classes
        make(replace(chain, network=forward), given, igd(ghost=ghost), TARGETS[:2], budget=1)
        return sum(counted)

    assert rows(True) == rows(False) > 0


def test_what_guides_not_at_all_gives_the_plain_chain(chain, given):
    plain = {name: draw_images(chain, [(name, n) for n in range(3)], int(name), 0) for name in ("2", "7")}
    some = [TARGETS[2], TARGETS[7]]
    assert same(make(chain, given, igd(influence_weight=0, deviation_weight=0), some), plain)
    assert same(make(chain, given, igd(window=[1, 1]), some), plain)  # no step has this time
    assert same(make(chain, given, igd(window=[1, 1], ghost=True), some), plain)
    unguided = {name: latents[:1] for name, latents in plain.items()}
    assert same(
        make(chain, given, igd(influence_weight=0), some, budget=1), unguided
    )  # nothing to deviate from
    assert same(make(chain, given, otg(influence_weight=0, transport_from=2), some, budget=1), unguided)
    assert not same(make(chain, given, igd(), some), plain)
    assert not same(make(chain, given, otg(influence_weight=0, deviation_weight=0), some), plain)


def test_outside_the_window_a_chain_is_bitwise_the_plain_one(chain, given, monkeypatch):
    steps = {}

    def advance(self, x, index, noise):
        made = original(self, x, index, noise)
        steps.setdefault(self.settings, []).append((index, x, made, noise))
        return made

    original = GuidedRun._advance
    monkeypatch.setattr(GuidedRun, "_advance", advance)
    settings = otg(transport_window=[400, 700])
    make(chain, given, settings, TARGETS[:2], budget=1)
    guiding = []
    for place, x, made, noise in steps[settings]:
        output = chain.predict(x, place, torch.tensor([0, 1]))
        if not torch.equal(made, chain.step(x, place, output, noise)):
            guiding.append(chain.steps[place].time)
    assert guiding == [step.time for step in reversed(chain.steps) if 400 <= step.time <= 917]


def test_rescaling_the_surrogates_gradient_changes_nothing(chain, given, monkeypatch):
    expected = make(chain, given, igd(), TARGETS[:3], budget=2)
    original = guided.Influence.__init__

    def scaled(self, chain, surrogate, labels, settings):
        original(self, chain, surrogate, labels, settings)
        whole = surrogate.influence

        class Scaled:
            @staticmethod
            def influence(images, labels):
                values, gradient = whole(images, labels)
                return values, gradient * 2**-20

        self.surrogate = Scaled()

    monkeypatch.setattr(guided.Influence, "__init__", scaled)
    assert same(make(chain, given, igd(), TARGETS[:3], budget=2), expected)


def test_moves_have_the_size_that_the_settings_give_and_are_told(chain, given, capsys):
    make(chain, given, otg(deviation_weight=0), TARGETS[:2], budget=1)
    told = [line for line in capsys.readouterr().err.splitlines() if "over sigma" in line]
    assert len(told) == 2 and "moves of influence" in told[0] and "moves of transport" in told[1]
    times = [step.time for step in reversed(chain.steps) if 612 <= step.time <= 917]
    assert f"at times {', '.join(map(str, times))}: " in told[1]
    found = [float(word) for word in told[1].rpartition(": ")[2].split()]
    by_time = {step.time: step for step in chain.steps}
    for time, size in zip(times, found, strict=True):
        step = by_time[time]  # the analytic generator's variance is the posterior's
        assert size == pytest.approx(0.1 * (1 - step.cumulative) ** 0.5 / step.floor**0.5, rel=5e-3)


def test_the_deviation_is_weighed_by_the_size_of_a_latent(chain, given):
    scaled = make(chain, given, igd(influence_weight=0, deviation_weight=4096), TARGETS[:2])
    told = igd(influence_weight=0, deviation_weight=64, deviation_unit="absolute")
    assert same(make(chain, given, told, TARGETS[:2]), scaled)
    one = make(chain, given, igd(influence_weight=0, deviation_weight=4096, memory=1), TARGETS[:2])
    assert same({name: latents[:2] for name, latents in scaled.items()}, {n: v[:2] for n, v in one.items()})
    assert not torch.equal(one["0"][2], scaled["0"][2])


@pytest.mark.parametrize(
    "changes",
    [
        {"influence_through": "estimate"},
        {"repeat": 2},
        {"ghost": True},
        {"checkpoints": [0, 2]},
        {"reference_images": 3},
        {"influence_weight": 15.0},
    ],
)
def test_every_setting_of_the_influence_changes_images(chain, given, changes):
    plain = make(chain, given, igd(checkpoints=[0]), TARGETS[:2], budget=2)
    found = make(chain, given, igd(**{"checkpoints": [0]} | changes), TARGETS[:2], budget=2)
    assert not torch.equal(found["1"], plain["1"]) and found["1"].isfinite().all()


@pytest.mark.parametrize(
    "changes",
    [
        {"transport_weight": 0.3},
        {"transport_unit": "gradient"},
        {"transport_unit": "sigma"},
        {"transport_window": [100, 917]},
        {"transport_from": 2},
        {"transport_point": "noisy"},
        {"support": "redrawn"},
        {"support": "all"},
        {"support": "k-means"},
        {"support_size": 4},
        {"cost": "squared"},
        {"cost": "sphere"},
        {"epsilon": 1.0},
        {"epsilon_unit": "absolute"},
        {"transport_iterations": 5},
        {"transport_gradient": "unrolled"},
        {"transport_gradient": "debiased", "epsilon": 1.0},
    ],
)
def test_every_setting_of_the_transport_changes_images(chain, given, changes):
    alone = {"influence_weight": 0, "deviation_weight": 0}
    own = {"epsilon": 1.0} if "debiased" in changes.values() else {}
    plain = make(chain, given, otg(**alone, **own), TARGETS[:2], budget=2)
    found = make(chain, given, otg(**alone | changes), TARGETS[:2], budget=2)
    assert not torch.equal(found["1"], plain["1"]) and found["1"].isfinite().all()


def test_few_real_latents_and_coincident_ones_are_no_trouble(chain, given):
    for most, changes in ((1, {}), (5, {"support": "k-means"}), (3, {"support": "all"})):
        made = make(chain, replace(given, most=most), otg(influence_weight=0, **changes), TARGETS[:3])
        assert all(latents.isfinite().all() for latents in made.values())
    blank = replace(given, spoilt=dict.fromkeys(range(10), 0.0))  # every real latent is the same
    made = make(chain, blank, otg(influence_weight=0, cost="sphere", support="k-means"), TARGETS[:3])
    assert all(latents.isfinite().all() for latents in made.values())


def test_what_is_not_finite_is_one_sentence_that_names_guide_class_and_image(chain, given):
    spoilt = replace(given, spoilt={1: float("nan")})
    with pytest.raises(InputError, match="transport moves image 1 of class '1' to what is not finite"):
        make(chain, spoilt, otg(influence_weight=0), TARGETS[:3])


def test_a_surrogate_that_cannot_guide_is_one_sentence(chain, given, tmp_path):
    ends = replace(given, surrogate_weights=write_surrogate(tmp_path / "ends.safetensors", "ends"))
    with pytest.raises(InputError, match="holds no weights of epochs"):
        make(chain, ends, igd())
    large = replace(given, surrogate_weights=write_surrogate(tmp_path / "large.safetensors", side=16))
    with pytest.raises(InputError, match="takes images of 16 pixels, the generator makes 8"):
        make(chain, large, igd())
    with pytest.raises(InputError, match="does not know class 'cat'"):
        make(chain, given, igd(), [Target("cat", 0, 0)])
    with pytest.raises(InputError, match=f"trained for {EPOCHS} epochs; `checkpoints` names epoch 3"):
        make(chain, given, igd(checkpoints=[0, 3]))
    with pytest.raises(InputError, match="--surrogate-weights is missing"):
        make(chain, replace(given, surrogate_weights=None), igd())
    with pytest.raises(InputError, match="--reference-index is missing"):
        make(chain, replace(given, reference_index=None), igd())


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"window": [900, 100]}, "the smaller first"), ({"checkpoints": [-1]}, "epochs from 0")],
)
def test_settings_that_mean_nothing_are_refused(changes, said):
    with pytest.raises(InputError, match=said):
        igd(**changes)
