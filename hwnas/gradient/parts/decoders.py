"""Decoders: which architecture a searched policy stands for.

Each is a function of a `Decoding`, with the options that a method's row gives. Budgets come after:
`decode.decode_seeds` repairs what does not fit.

[1] Liu et al. 2019, DARTS, 1806.09055. [2] Chen et al. 2019, P-DARTS, 1904.12760, section 3.3.
[3] Pham et al. 2018, ENAS, 1802.03268, section 2.2. [4] Wang et al. 2021, DARTS-PT, 2108.04392, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from hwnas.core.choice import Arch
from hwnas.core.mix import Mix
from hwnas.core.registry import Registry
from hwnas.core.space import Space
from hwnas.gradient.nodes import nodes, none_of, real_options
from hwnas.gradient.units import LogProbs, best, units_of

IDENTITIES = ("skip_connect", "skip")
"""Names of the option that passes its input on."""

_NEVER = -1e9


@dataclass(frozen=True, slots=True)
class Decoding:
    """All that a decoder may use.

    scores: `units.scores_of` the policy. soft: its mean mix, without gradient. sample: an architecture
    that the policy draws. loss: validation loss of a mix under the shared weights. tune: trains them
    under a mix for a share of the search's steps.
    """

    space: Space
    scores: LogProbs
    soft: Mix
    sample: Callable[[], Arch]
    loss: Callable[[Mix], float]
    tune: Callable[[Mix, float], None]
    rng: np.random.Generator


DECODERS: Registry[Callable[..., Arch]] = Registry("decoder")


@DECODERS.add("argmax")
def argmax(view: Decoding) -> Arch:
    """The most probable option per choice; at a node its best edges, `none` aside, times edge weight [1]."""
    return best(units_of(view.scores, view.space.choices))


@DECODERS.add("limit_skips")
def limit_skips(view: Decoding, *, n: int = 2, spared: str = "reduce") -> Arch:
    """`argmax` with at most `n` skip connections, those of cells of the kind `spared` not counted [2].

    The paper limits its normal cells; the only cell of NAS-Bench-201 is one. As long as there are more, the
    least probable of them is ruled out and all is decoded anew.
    """
    choices = view.space.choices
    scores = [p.copy() for p in view.scores]
    while True:
        arch = best(units_of(scores, choices))
        skips = [
            (scores[c][i], c, i)
            for c, i in enumerate(arch)
            if not choices[c].name.startswith(spared) and choices[c].options[i] in IDENTITIES
        ]
        if len(skips) <= n:
            return arch
        _, c, i = min(skips)
        scores[c][i] = _NEVER


@DECODERS.add("sample_and_rank")
def sample_and_rank(view: Decoding, *, n: int = 10) -> Arch:
    """The best on validation batches of `n` architectures that the policy draws [3]."""
    drawn = [view.sample() for _ in range(n)]
    return min(drawn, key=lambda arch: view.loss(Mix.one_hot(view.space.choices, arch)))


@DECODERS.add("perturbation")
def perturbation(view: Decoding, *, tune: float = 0.2) -> Arch:
    """Per choice the option, then per node the edges, whose removal hurts the supernet most [4].

    Choices are decided one after the other in random order, and the shared weights are trained on for
    `tune` of the search's steps after each (published: 10 of 50 epochs).
    """
    choices, mix = view.space.choices, view.soft
    for c in view.rng.permutation(len(choices)).tolist():
        in_node = any(c in node.edges for node in nodes(choices))
        options = real_options(choices[c]) if in_node else tuple(range(len(choices[c].options)))
        options = tuple(i for i in options if view.soft.probs[c][i] > 0)
        losses = [view.loss(_without(mix, c, i)) if len(options) > 1 else 0.0 for i in options]
        mix = _decided(mix, c, options[int(np.argmax(losses))])
        view.tune(mix, tune)
    for n in view.rng.permutation(len(nodes(choices))).tolist():
        node = nodes(choices)[n]
        hurt = {e: view.loss(_decided(mix, e, none_of(choices[e]))) for e in node.edges}
        for e in sorted(node.edges, key=lambda e: -hurt[e])[node.keep :]:
            mix = _decided(mix, e, none_of(choices[e]))
        view.tune(mix, tune)
    return tuple(a[0] for a in mix.active)


def _without(mix: Mix, choice: int, option: int) -> Mix:
    """The mix with an option of weight 0 that does not run."""
    weight = mix.probs[choice].clone()
    weight[option] = 0
    active = tuple(i for i in mix.active[choice] if i != option)
    return _with(mix, choice, weight, active)


def _decided(mix: Mix, choice: int, option: int) -> Mix:
    """The mix with one choice made."""
    weight = torch.zeros_like(mix.probs[choice])
    weight[option] = 1
    return _with(mix, choice, weight, (option,))


def _with(mix: Mix, choice: int, weight: torch.Tensor, active: tuple[int, ...]) -> Mix:
    weights, actives = list(mix.probs), list(mix.active)
    weights[choice], actives[choice] = weight, active
    return replace(mix, probs=tuple(weights), active=tuple(actives))
