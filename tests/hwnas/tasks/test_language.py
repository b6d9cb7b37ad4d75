"""The task of texts against torch and closed forms."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional

from hwnas.tasks import Language
from hwnas.tasks.language import shown
from targets.errors import HwnasError, UsageError

RNG = np.random.default_rng(0)
NAMES = ("a", "b", " ", "\n")
LABELS = RNG.integers(0, 4, (5, 6))
OUTPUTS = RNG.normal(size=(5, 8, 4)).astype(np.float32)  # two places more than labels: they set the state
TASK = Language(n_symbols=4).fitted(LABELS)


def test_what_is_kept_are_torchs_log_probabilities_of_the_last_symbols() -> None:
    logs = functional.log_softmax(torch.from_numpy(OUTPUTS[:, 2:]), dim=2)
    true = logs.gather(2, torch.from_numpy(LABELS)[..., None])[..., 0]
    assert TASK.kept(OUTPUTS, LABELS) == pytest.approx(true.numpy(), abs=1e-6)


def test_the_loss_is_torchs_cross_entropy_of_outputs_and_of_what_is_kept() -> None:
    whole = functional.cross_entropy(
        torch.from_numpy(OUTPUTS[:, 2:]).reshape(-1, 4), torch.from_numpy(LABELS).reshape(-1)
    )
    labels = torch.from_numpy(LABELS)
    assert float(TASK.loss(torch.from_numpy(OUTPUTS), labels)) == pytest.approx(float(whole), rel=1e-6)
    kept = torch.from_numpy(TASK.kept(OUTPUTS, LABELS))
    assert float(TASK.loss(kept, labels)) == pytest.approx(float(whole), rel=1e-5)


def test_equal_scores_have_as_much_perplexity_as_there_are_symbols() -> None:
    kept = TASK.kept(np.zeros((5, 6, 4), np.float32), LABELS)
    metrics = TASK.metrics(kept, LABELS)
    assert metrics["perplexity"] == pytest.approx(4)
    assert metrics["bits"] == pytest.approx(2)


def test_the_frequencies_alone_save_nothing_and_certainty_saves_all() -> None:
    counts = np.bincount(LABELS.ravel(), minlength=4) + 1
    shares = np.log(counts / counts.sum())
    unigram = np.broadcast_to(shares, (5, 6, 4)).astype(np.float32)
    assert TASK.metrics(TASK.kept(unigram, LABELS), LABELS)["saved"] == pytest.approx(0, abs=1e-6)
    assert TASK.trivial(LABELS, LABELS)[1] == 0
    assert TASK.metrics(np.zeros((5, 6), np.float32), LABELS)["saved"] == 1


def test_bits_per_character_of_words_are_those_of_the_words_by_their_length() -> None:
    words = Language(kind="words", characters_per_symbol=5.0, n_symbols=4).fitted(LABELS)
    kept = np.full((5, 6), -5 * math.log(2), np.float32)
    metrics = words.metrics(kept, LABELS)
    assert metrics["bits"] == pytest.approx(5)
    assert metrics["bits_per_character"] == pytest.approx(1)


def test_the_card_names_blanks_and_counts_symbols() -> None:
    quality = TASK.quality(TASK.kept(OUTPUTS, LABELS), LABELS, NAMES, probabilities=False)
    assert sum(row["times"] for row in quality["by_symbol"]) == LABELS.size
    mean = sum(row["times"] * row["bits"] for row in quality["by_symbol"]) / LABELS.size
    assert mean == pytest.approx(quality["bits"], rel=1e-6)
    _, rows, sentences = TASK.card(quality)
    assert {row[0] for row in rows} == {"a", "b", "(blank)", "(new line)"}
    assert f"Perplexity {quality['perplexity']:.3f}" in sentences[0]
    assert shown("\t") == "(tab)"


def test_networks_are_unlike_where_a_symbol_has_another_probability() -> None:
    kept = TASK.kept(OUTPUTS, LABELS)
    other = kept.copy()
    other[3, 1] += 0.02
    assert TASK.unlike(kept, other).tolist() == [False, False, False, True, False]


def test_a_text_of_one_symbol_and_a_table_of_labels_are_refused() -> None:
    with pytest.raises(UsageError, match="book: its training part has 1 kind"):
        TASK.check("book", ("a",), np.zeros((3, 4), np.int64), np.ones(3, np.bool_))
    with pytest.raises(HwnasError, match="has not seen the frequencies"):
        Language(n_symbols=4).metrics(np.zeros((5, 6), np.float32), LABELS)
