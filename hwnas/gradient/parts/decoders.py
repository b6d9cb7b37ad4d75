"""Decoders: from the probabilities of a searched policy to one architecture.

A decoder is a function of a `Decoding`, with the options that a method's row gives. It ignores budgets:
`decode.decode_seeds` repairs an architecture that exceeds them.

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
from hwnas.core.node import nodes_of, none_of
from hwnas.core.registry import Registry
from hwnas.core.space import Space
from hwnas.gradient.step.nodes import real_options
from hwnas.gradient.step.ranking import LogProbs, best, units_of

IDENTITIES = ("skip_connect", "skip")
"""Names of the option that returns its input."""

_NEVER = -1e9
"""log p of an option that is ruled out."""


@dataclass(frozen=True, slots=True)
class Decoding:
    """All that a decoder may use.

    space: what is searched.
    scores: log p of each option, (n_options,) per choice; 0 for `none` on the edges of a node.
    soft: the policy's mean mix, without gradient.
    sample: draws an architecture from the policy.
    loss: validation loss of a mix under the shared weights.
    tune: trains the shared weights under a mix for a share of the search's steps.
    rng: the source of a decoder's own draws.
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
def argmax(decoding: Decoding) -> Arch:
    """The most probable option per choice; at a node its best edges, `none` aside, times edge weight [1]."""
    return best(units_of(decoding.scores, decoding.space.choices))


@DECODERS.add("limit_skips")
def limit_skips(decoding: Decoding, *, n: int = 2, spared: str = "reduce") -> Arch:
    """`argmax` with at most `n` skip connections in the cells that are not of the kind `spared` [2].

    While there are more, the least probable of them is ruled out and everything is decoded anew. The paper
    limits its normal cells; the only cell of NAS-Bench-201 counts as one.
    """
    choices = decoding.space.choices
    scores = [p.copy() for p in decoding.scores]
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
def sample_and_rank(decoding: Decoding, *, n: int = 10) -> Arch:
    """The best on validation batches of `n` architectures that the policy draws [3]."""
    drawn = [decoding.sample() for _ in range(n)]
    return min(drawn, key=lambda arch: decoding.loss(Mix.one_hot(decoding.space.choices, arch)))


@DECODERS.add("perturbation")
def perturbation(decoding: Decoding, *, tune: float = 0.2) -> Arch:
    """Per choice the option, then per node the edges, whose removal hurts the supernet most [4].

    Choices are decided one after the other in random order. After each, the shared weights are trained for
    `tune` of the search's steps (published: 10 of 50 epochs).
    """
    choices, mix = decoding.space.choices, decoding.soft
    for c in decoding.rng.permutation(len(choices)).tolist():
        in_node = any(c in node.edges for node in nodes_of(choices))
        options = real_options(choices[c]) if in_node else tuple(range(len(choices[c].options)))
        options = tuple(i for i in options if decoding.soft.probs[c][i] > 0)
        losses = [decoding.loss(_without(mix, c, i)) if len(options) > 1 else 0.0 for i in options]
        mix = _decided(mix, c, options[int(np.argmax(losses))])
        decoding.tune(mix, tune)
    for n in decoding.rng.permutation(len(nodes_of(choices))).tolist():
        node = nodes_of(choices)[n]
        hurt = {e: decoding.loss(_decided(mix, e, none_of(choices[e]))) for e in node.edges}
        for e in sorted(node.edges, key=lambda e: -hurt[e])[node.keep :]:
            mix = _decided(mix, e, none_of(choices[e]))
        decoding.tune(mix, tune)
    return tuple(a[0] for a in mix.active)


def _without(mix: Mix, choice: int, option: int) -> Mix:
    """The mix in which an option has probability 0 and does not run."""
    probs = mix.probs[choice].clone()
    probs[option] = 0
    active = tuple(i for i in mix.active[choice] if i != option)
    return _with(mix, choice, probs, active)


def _decided(mix: Mix, choice: int, option: int) -> Mix:
    """The mix in which a choice has one option only."""
    probs = torch.zeros_like(mix.probs[choice])
    probs[option] = 1
    return _with(mix, choice, probs, (option,))


def _with(mix: Mix, choice: int, probs: torch.Tensor, active: tuple[int, ...]) -> Mix:
    """The mix with other probabilities (n_options,) and active options of one choice."""
    all_probs, all_active = list(mix.probs), list(mix.active)
    all_probs[choice], all_active[choice] = probs, active
    return replace(mix, probs=tuple(all_probs), active=tuple(all_active))
