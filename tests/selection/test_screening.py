"""Screening: rough costs against full ones, and searches that find what they find without it."""

from dataclasses import replace

import pytest
import torch
from test_objective import images

from condense.config.settings import Gadc
from condense.selection import best as deciding
from condense.selection import screening
from condense.selection.best import best_candidate
from condense.selection.objective import Objective
from condense.selection.search import condense, exchange, greedy
from condense.transport.screen import Screen

PLAIN = Gadc(epsilon=0.05, epsilon_unit="median", beta=1.0, restarts=2)


@pytest.fixture
def small(monkeypatch) -> None:
    """Screen small classes too."""
    monkeypatch.setattr(screening, "IMAGES", 10)
    monkeypatch.setattr(screening, "CANDIDATES", 40)


def test_all_but_one_iteration_of_the_reference_are_its_cost() -> None:
    features, _ = images(1, 30, d=8)
    built = Objective(features, None, replace(PLAIN, beta=0.0, precision="float64"))
    shared, reference = torch.tensor([[3, 9, 20]]), torch.tensor([[7]])
    screen = Screen(built.transport, shared, reference)
    expected = built.transport.extend(shared, reference)
    for iterations in (1, 3, 6, 19):
        torch.testing.assert_close(screen.extend(reference, iterations), expected, rtol=1e-12, atol=0)


def test_more_iterations_are_nearer_to_the_full_cost() -> None:
    features, _ = images(2, 200, d=12)
    built = Objective(features, None, replace(PLAIN, beta=0.0, epsilon=0.2, precision="float64"))
    shared, others = torch.arange(9)[None], torch.arange(10, 200)[None]
    screen = Screen(built.transport, shared, torch.tensor([[9]]))
    full = built.transport.extend(shared, others)
    errors = [(screen.extend(others, count) - full).abs().max().item() for count in (1, 3, 6, 12)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.01 * full.max() < errors[0]


@pytest.mark.parametrize("seed", range(3))
def test_the_best_image_is_the_one_of_a_full_search(small, seed) -> None:
    features, nll = images(seed, 150, d=12)
    built = Objective(features, nll, PLAIN)
    subset = greedy(built, 8)
    held = subset[:, 3], built.value(torch.tensor([0]), subset)
    shared = torch.cat([subset[:, :3], subset[:, 4:]], 1)
    for against in (None, held):
        full, found = (best_candidate(built, shared, against=against, screen=wanted) for wanted in (0, 1))
        assert found.image.tolist() == full.image.tolist() or full.value.isinf()
        assert found.value.tolist() == full.value.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_a_screened_search_ends_where_the_full_one_does(small, monkeypatch, seed) -> None:
    draws = torch.Generator().manual_seed(seed)
    features = torch.randn(1, 4, 16, dtype=torch.float64, generator=draws).repeat_interleave(50, 1)
    features = features + torch.randn(1, 200, 16, dtype=torch.float64, generator=draws) / 2
    nll = torch.rand(1, 200, dtype=torch.float64, generator=draws)
    full = []
    monkeypatch.setattr(deciding, "screened", lambda *given: full.append(1) or screening.screened(*given))
    found = condense(features, nll, [6], PLAIN)[6].end
    assert full, "nothing was screened"
    monkeypatch.setattr(screening, "IMAGES", 1000)
    expected = condense(features, nll, [6], PLAIN)[6].end
    assert sorted(found.subsets[0].tolist()) == sorted(expected.subsets[0].tolist())
    assert found.optimal.item()


def test_the_last_round_is_a_full_one_however_little_screening_shows(small, monkeypatch) -> None:
    features, nll = images(4, 80)
    monkeypatch.setattr(screening, "SAFETY", -1e9)  # leaves out nearly all
    built = Objective(features, nll, PLAIN)
    end = exchange(built, torch.arange(5)[None], restarts=0)
    best = built.value(torch.tensor([0]), end.subsets)
    for position in range(5):
        shared = torch.cat([end.subsets[:, :position], end.subsets[:, position + 1 :]], 1)
        found = best_candidate(built, shared, against=(end.subsets[:, position], best))
        assert found.value >= best * (1 - 1e-8)
    assert not exchange(built, torch.arange(5)[None], restarts=0, certain=False).optimal.item()
