"""`gestures`: windows of an imagined motion sensor with six channels; needs no file and no network.

A recording is one gesture by one of 30 persons, eight times over, and the windows of a person lie in one
split. The classes differ in what a linear model of the samples cannot see: which way a circle is drawn (the
phase between two axes), which of two strokes comes first, how fast a shake is. Start, speed, strength, the
turn of the sensor, its drift and its noise differ from window to window or from person to person.

The random numbers are whole and the same on every machine; what is made of them is computed in floating point
and rounded to 1/256.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from hwnas.tasks import CLASSIFICATION

from .scenes_drawing import Draws
from .shapes import Reals
from .signals import LabelledSignals, SignalSource, signal_source
from .source import NAMED, TEST, TRAIN, VAL, DataRequest

LENGTH = 96
CHANNELS = ("ax", "ay", "az", "gx", "gy", "gz")
GESTURES = ("circle-left", "circle-right", "down-up", "shake", "tremble", "up-down")
N_PERSONS = 30
WINDOWS = 8
"""Of one gesture by one person."""

_SEED = 96
_UNIT = 1000
_GRID = 256.0
_NOISE = 0.5


@NAMED.add("gestures")
def open_gestures(request: DataRequest) -> SignalSource:
    """The windows, person by person."""
    values, names, cells, persons = [], [], [], []
    for person in range(N_PERSONS):
        draws = Draws(_SEED, person)
        turn = _turn(draws)
        for label, gesture in enumerate(GESTURES):
            values.append(_windows(draws, label, turn))
            names += [f"person-{person:02d}-{gesture}-{k}" for k in range(WINDOWS)]
            cells += [(gesture,)] * WINDOWS
            persons += [person] * WINDOWS
    fifth = N_PERSONS // 5
    split = np.array([TEST] * fifth + [VAL] * fifth + [TRAIN] * (N_PERSONS - 2 * fifth), np.int8)
    return signal_source(
        LabelledSignals(
            name="gestures",
            values=np.concatenate(values),
            names=names,
            columns=("gesture",),
            cells=cells,
            groups=[f"{person:02d}" for person in persons],
            group_column="person",
            given=split[persons],
            preprocessing=f"windows of {LENGTH} samples of {', '.join(CHANNELS)}",
        ),
        CLASSIFICATION,
    )


def _share(draws: Draws, low: float, high: float, *shape: int) -> Reals:
    return draws.between(round(low * _UNIT), round(high * _UNIT), *shape) / _UNIT


def _turn(draws: Draws) -> Reals:
    """(3, 3): how a person wears the sensor, up to 20 degrees off on two axes."""
    a, b = np.deg2rad(_share(draws, -20, 20, 2))
    about_z = np.array([[np.cos(a), -np.sin(a), 0], [np.sin(a), np.cos(a), 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, np.cos(b), -np.sin(b)], [0, np.sin(b), np.cos(b)]])
    turn: Reals = about_z @ about_x
    return turn


def _windows(draws: Draws, label: int, turn: Reals) -> npt.NDArray[np.float32]:
    """(WINDOWS, 6, LENGTH) of a gesture."""
    n = WINDOWS
    gesture = GESTURES[label]
    time = np.arange(LENGTH)[None, :]
    middle = _share(draws, 34, 62, n)[:, None]
    width = _share(draws, 11, 17, n)[:, None]
    strength = _share(draws, 0.7, 1.4, n)[:, None]
    phase = 2 * np.pi * _share(draws, 0, 1, n)[:, None]
    envelope = strength * np.exp(-(((time - middle) / width) ** 2))
    cycles = 2 * np.pi * (time - middle) / LENGTH
    zero = np.zeros((n, LENGTH))
    if gesture.startswith("circle"):
        side = 1 if gesture.endswith("left") else -1
        angle = cycles * _share(draws, 2.4, 3.6, n)[:, None] + phase
        x, y, z = envelope * np.cos(angle), side * envelope * np.sin(angle), zero
    elif gesture in ("shake", "tremble"):
        rate = (5.0, 6.6) if gesture == "shake" else (7.8, 10.0)
        x, y, z = envelope * np.sin(cycles * _share(draws, *rate, n)[:, None] + phase), zero, zero
    else:
        first = 1 if gesture == "up-down" else -1
        gap = width * _share(draws, 0.6, 0.9, n)[:, None]
        strokes = [np.exp(-(((time - middle + s * gap) / (0.5 * width)) ** 2)) for s in (1, -1)]
        x, y, z = zero, zero, first * strength * (strokes[0] - strokes[1])
    moved = np.einsum("ij,njt->nit", turn, np.stack([x, y, z], axis=1))
    turned = np.gradient(moved, axis=2)[:, [1, 2, 0]] * 3
    signal = np.concatenate([moved, turned], axis=1)
    drift = _share(draws, -0.5, 0.5, n, 6)[:, :, None] + _share(draws, -0.5, 0.5, n, 6)[:, :, None] * (
        time / LENGTH - 0.5
    )
    noise = _share(draws, -1, 1, n, 6, LENGTH) * _NOISE
    values = signal + drift + noise
    values[:, 2] += 1.0  # gravity
    return (np.rint(values * _GRID) / _GRID).astype(np.float32)
