"""`markov`: a text from a source whose entropy is known, and with it how good a network can be at most.

Eight letters; which comes next depends on the two before it, by probabilities that a generator with a fixed
seed drew once. The entropy rate of the source is computed exactly, and no model of such a text has a
perplexity below its exponential, but by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from .source import NAMED
from .text import TEXTS, open_text

LETTERS = "abcdefgh"
N_CHARACTERS = 60_000
_SEED = 2906
_UNIT = 1_000_000  # probabilities are whole parts of it, so that a text is the same on every machine


@dataclass(frozen=True, eq=False)
class MarkovSource:
    """chances: (k, k, k), parts of a million by which the third letter follows the first two."""

    chances: npt.NDArray[np.int64]

    def text(self, n: int, seed: int) -> str:
        """So many letters."""
        draws = np.random.Generator(np.random.PCG64(seed)).integers(0, _UNIT, n)
        limits = self.chances.cumsum(axis=2)
        places = [0, 0]
        for draw in draws:
            places.append(int(np.searchsorted(limits[places[-2], places[-1]], draw, side="right")))
        return "".join(LETTERS[i] for i in places[2:])

    def entropy_rate(self) -> float:
        """Natural logarithms per letter: the mean over the pairs of the entropy of what follows them.

        Cover and Thomas 2006, theorem 4.2.4.
        """
        probs = self.chances / _UNIT
        logs = np.log(np.where(probs > 0, probs, 1.0))
        return float(-(self._pairs()[:, :, None] * probs * logs).sum())

    def unigram_entropy(self) -> float:
        """Natural logarithms per letter of a model that knows the frequencies of the letters alone."""
        shares = np.einsum("ab,abc->c", self._pairs(), self.chances / _UNIT)
        return float(-(shares * np.log(shares)).sum())

    def perplexity(self) -> float:
        """The least that any model can have."""
        return math.exp(self.entropy_rate())

    def _pairs(self) -> npt.NDArray[np.float64]:
        """(k, k): how often each pair comes in the long run, the fixed point of the chain of pairs."""
        k, probs = len(self.chances), self.chances / _UNIT
        step = np.zeros((k, k, k, k))
        for b in range(k):
            step[:, b, b, :] = probs[:, b, :]  # (a, b) becomes (b, c)
        equations = np.vstack([step.reshape(k * k, k * k).T - np.eye(k * k), np.ones(k * k)])
        solution = np.linalg.lstsq(equations, np.append(np.zeros(k * k), 1.0), rcond=None)[0]
        pairs: npt.NDArray[np.float64] = solution.reshape(k, k)
        return pairs


@cache
def markov_source() -> MarkovSource:
    """The source of `markov`: of each pair, few letters follow often."""
    k = len(LETTERS)
    raw = np.random.Generator(np.random.PCG64(_SEED)).integers(1, _UNIT, (k, k, k))
    sharp = raw.astype(object) ** 6  # whole numbers of any length: the same on every machine
    sums = sharp.sum(axis=2, keepdims=True)
    chances = np.array(1 + sharp * (_UNIT - k) // sums, np.int64)
    chances[:, :, 0] += _UNIT - chances.sum(axis=2)
    return MarkovSource(chances)


def markov_text() -> str:
    """The text of `markov`."""
    return markov_source().text(N_CHARACTERS, _SEED + 1)


TEXTS["markov"] = markov_text
NAMED.add("markov")(open_text)
