"""The source of `markov`: its entropy rate against closed forms, and against a text drawn from it."""

import math

import numpy as np
import pytest

from hwnas.data.markov import LETTERS, MarkovSource, markov_source, markov_text

MILLION = 1_000_000


def test_a_source_of_two_equal_choices_has_one_bit_per_letter() -> None:
    chances = np.zeros((4, 4, 4), np.int64)
    for b in range(4):  # after b come b + 1 or b + 2
        chances[:, b, (b + 1) % 4] = chances[:, b, (b + 2) % 4] = MILLION // 2
    source = MarkovSource(chances)
    assert source.entropy_rate() == pytest.approx(math.log(2))
    assert source.unigram_entropy() == pytest.approx(math.log(4))
    assert source.perplexity() == pytest.approx(2)


def test_the_model_that_knows_the_source_has_its_perplexity_on_the_text() -> None:
    source, text = markov_source(), markov_text()
    ids = np.array([LETTERS.index(c) for c in text])
    logs = np.log(source.chances[ids[:-2], ids[1:-1], ids[2:]] / MILLION)
    error = float(logs.std()) / math.sqrt(len(logs))
    assert -float(logs.mean()) == pytest.approx(source.entropy_rate(), abs=4 * error)
    shares = np.bincount(ids) / len(ids)
    assert -float((shares * np.log(shares)).sum()) == pytest.approx(source.unigram_entropy(), abs=0.01)


def test_the_text_is_the_same_at_each_call_and_worth_learning() -> None:
    assert markov_text() == markov_text()
    source = markov_source()
    assert (source.chances.sum(axis=2) == MILLION).all()
    assert source.chances.min() > 0
    assert source.perplexity() < 0.5 * math.exp(source.unigram_entropy())
