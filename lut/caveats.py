"""What is to be known of a table or predictor before its numbers are used."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

NOISE = "noise"
"""Key among the errors of a table or predictor: how disturbed the machine was that it was measured on."""

ASKED, MEASURED = "networks_asked", "networks_measured"
"""Keys among the errors of a predictor: networks of the profile, and those of them that were measured."""

_GO_ON = "the same `hwnas profile` measures the others"


def state(errors: Mapping[str, Any]) -> str:
    """`ok`, or in a few words why it is not: `partial: 10 of 72 networks`, `noisy`."""
    partial = _partial(errors)
    words = ([partial] if partial else []) + (["noisy"] if errors.get(NOISE) else [])
    return "; ".join(words) or "ok"


def caveats(errors: Mapping[str, Any]) -> list[str]:
    """The same in sentences for those who read its numbers."""
    partial, noise = _partial(errors), errors.get(NOISE)
    said = [f"the profile is {partial}; {_GO_ON}"] if partial else []
    return said + ([f"the profile is noisy: {noise}"] if noise else [])


def _partial(errors: Mapping[str, Any]) -> str | None:
    asked, measured = errors.get(ASKED, 0), errors.get(MEASURED, 0)
    return f"partial: {measured} of {asked} networks" if measured < asked else None
