"""The order of architectures by probability, and draws from a node; against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hwnas.gradient.parts.relax import RELAXATIONS
from hwnas.gradient.step.nodes import discretise
from hwnas.gradient.step.protocols import RelaxContext
from hwnas.gradient.step.ranking import best, log_prob, most_probable, sample, scores_of, units_of
from tests.support.toy_cell import NODE, node_archs

VALUES = st.lists(st.floats(-2, 2), min_size=5, max_size=5)


@given(st.lists(st.floats(-4, -0.01), min_size=12, max_size=12))
@settings(deadline=None, max_examples=30)
def test_the_walk_over_a_node_is_that_of_brute_force(values: list[float]) -> None:
    log_probs = list(np.array(values).reshape(3, 4))
    scores = scores_of(log_probs, NODE)
    units = units_of(scores, NODE)
    walked = list(most_probable(units))
    assert sorted(walked) == sorted(node_archs())
    found = [log_prob(scores, a) for a in walked]
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(found))
    assert walked[0] == best(units)
    weights = [torch.from_numpy(np.exp(p)) for p in log_probs]
    assert log_prob(scores, discretise(weights, None, NODE)) == pytest.approx(found[0])


def test_samples_are_architectures_in_proportion_to_their_probability() -> None:
    scores = scores_of([np.log([0.1, 0.2, 0.3, 0.4])] * 3, NODE)
    drawn = sample(units_of(scores, NODE), 4000, np.random.default_rng(0))
    assert set(drawn) == set(node_archs())
    # 0.4 x 0.4 of a total of 3 x 0.9^2; standard deviation 0.004
    assert drawn.count((3, 3, 0)) / 4000 == pytest.approx(0.16 / 2.43, abs=0.017)


@pytest.mark.parametrize("name", ["sampled", "uniform", "hard"])
def test_single_paths_through_a_node_are_architectures(name: str) -> None:
    logits = [torch.tensor([2.0, 0.0, 0.1, 0.2], requires_grad=True) for _ in NODE]
    context = RelaxContext(NODE, torch.Generator().manual_seed(0))
    for _ in range(20):
        mix = RELAXATIONS[name](logits, context)
        assert mix.arch in node_archs()


@pytest.mark.slow
def test_draws_from_a_node_have_the_probability_they_say() -> None:
    """Frequencies of ordered draws are not visible; log_prob must match them in expectation of its score.

    The score function has mean zero: E[d log p] = 0, checked by 4,000 draws.
    """
    logits = [torch.tensor([0.3, 1.0, -0.5, 0.2], dtype=torch.float64, requires_grad=True) for _ in NODE]
    context = RelaxContext(NODE, torch.Generator().manual_seed(0), edge_weights=torch.tensor([0.5, 0.3, 0.2]))
    drawn = (RELAXATIONS["sampled"](logits, context).log_prob for _ in range(2000))
    total = torch.stack([p for p in drawn if p is not None]).mean()
    for g in torch.autograd.grad(total, logits):
        assert float(g.abs().max()) < 0.06
