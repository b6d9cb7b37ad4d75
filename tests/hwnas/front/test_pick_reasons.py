"""The sentence of each pick, against numbers by hand."""

import numpy as np

from hwnas.front import Pick, choose_picks, pick_reasons

LATENCY = [1.0, 2.0, 3.0, 6.0]
ACCURACY = [0.60, 0.785, 0.795, 0.80]


def say(latency: float) -> str:
    return f"{latency:g} ms"


def test_every_pick_says_why_with_its_numbers() -> None:
    """The standard error of 80 % over 400 images is sqrt(0.8 * 0.2 / 400) = 2.0 points."""
    picks = choose_picks(LATENCY, ACCURACY, 4)
    reasons = dict(zip([p.why for p in picks], pick_reasons(picks, LATENCY, ACCURACY, 400, say), strict=True))
    assert reasons == {
        "accurate": "The most accurate of 4 networks inside the budgets in the search: 80.0 %, in 6 ms.",
        "fastest": "The fastest of 4 networks inside the budgets: 1 ms, 20.0 points less accurate than the "
        "most accurate one.",
        "knee": "The knee of the front: 1.5 points less accurate than the most accurate one, which is within "
        "its standard error of 2.0, at 33 % of what that takes.",
        "spread": "At 3 ms, in the gap between the picks of 2 ms and 6 ms; 0.5 points less accurate than the "
        "most accurate one, which is within its standard error of 2.0.",
    }


def test_a_pick_beside_the_front_and_equal_accuracies_have_sentences_too() -> None:
    picks = [Pick(0, "fastest"), Pick(1, "gradient")]
    first, second = pick_reasons(picks, [1.0, 2.0], [0.5, 0.5], 100, say)
    assert first.endswith("1 ms, as accurate as the most accurate one.")
    assert second == "What the gradient search decoded: 2 ms, as accurate as the most accurate one."


def test_no_point_of_a_large_front_goes_without_a_reason() -> None:
    rng = np.random.default_rng(0)
    latency, accuracy = rng.uniform(1, 9, 60), rng.uniform(0, 1, 60)
    picks = choose_picks(latency, accuracy, 20)
    assert len(set(pick_reasons(picks, latency, accuracy, 50, say))) == 20


def test_another_score_is_called_by_its_name() -> None:
    picks = [Pick(0, "fastest"), Pick(1, "accurate")]
    fastest, best = pick_reasons(picks, [1.0, 3.0], [0.7, 0.9], None, say, "R²")
    assert (
        fastest
        == "The fastest of 2 networks inside the budgets: 1 ms, its R² lower by 0.200 than the highest."
    )
    assert best == "The highest R² of 2 networks inside the budgets in the search: 0.900, in 3 ms."
