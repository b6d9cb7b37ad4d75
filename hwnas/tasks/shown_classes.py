"""What tasks check and say alike whose images show any number of classes: masks and boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from targets.errors import UsageError


def require_learned(source: str, names: Sequence[str], shown: NDArray[Any], learned: NDArray[Any]) -> None:
    """UsageError where no training image shows a class that another image shows.

    shown, learned: (k,), how often all images and those of training show each class.
    """
    lacking = [name for name, n, there in zip(names, shown, learned, strict=True) if n and not there]
    if lacking:
        raise UsageError(
            f"{source}: no training image shows {', '.join(lacking[:5])} ({len(lacking)} of {len(names)} "
            "classes); every class of val and test must be in train"
        )


def never_shown(names: Sequence[str], counts: NDArray[Any], what: str) -> list[str]:
    """A note on the classes that no training label shows. counts: (k,). what: shows them, as `mask`."""
    absent = [name for name, n in zip(names, counts, strict=True) if not n]
    return [f"no {what} shows {', '.join(absent[:5])}: networks learn to answer it never"] if absent else []


def known(value: float) -> float | None:
    """The value as JSON has it, None where it is not defined (NaN)."""
    return None if np.isnan(value) else float(value)


def percent(share: float | None) -> str:
    """`12.3 %`; a dash where nothing is known."""
    return "–" if share is None else f"{100 * share:.1f} %"
