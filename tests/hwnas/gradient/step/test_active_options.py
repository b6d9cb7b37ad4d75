"""Active options: what a stage keeps, and the mix over all options again."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hwnas.core.choice import Choice
from hwnas.core.node import ABSENT, none_of
from hwnas.gradient.parts.relax import RELAXATIONS
from hwnas.gradient.step.active_options import all_options, keep_best, restrict, scatter_mix
from hwnas.gradient.step.protocols import RelaxContext
from tests.support.toy_cell import NODE, node_archs


def test_shrinking_keeps_the_best_and_never_none_alone() -> None:
    choices = (*NODE[:1], Choice("free", ("a", "b", "c")))
    scores = [np.log([0.9, 0.05, 0.03, 0.02]), np.log([0.2, 0.5, 0.3])]
    kept = keep_best(all_options(choices), scores, choices, 0.5)
    assert kept == ((0, 1), (1, 2))
    assert keep_best(kept, scores, choices, 0.25) == ((1,), (1,))


def test_a_narrow_mix_is_widened_with_none_where_the_edge_is_dropped() -> None:
    kept = ((1, 2), (1, 3), (2, 3))
    left = restrict(NODE, kept)
    assert none_of(left[0]) == ABSENT
    context = RelaxContext(left, torch.Generator().manual_seed(0))
    logits = [torch.tensor([0.0, 1.0], requires_grad=True) for _ in NODE]
    for _ in range(10):
        mix = scatter_mix(RELAXATIONS["sampled"](logits, context), NODE, kept)
        assert mix.arch in node_archs()
        for w, i, left_here in zip(mix.probs, mix.arch or (), kept, strict=True):
            assert float(w[i]) == 1 and (i == 0 or i in left_here)
    soft = scatter_mix(RELAXATIONS["softmax"](logits, context), NODE, kept)
    assert soft.active == kept
    assert soft.probs[0].tolist() == pytest.approx([0, 0.268941, 0.731059, 0], abs=1e-6)
    soft.probs[0][2].backward()
    assert logits[0].grad is not None
