"""`calls`: short sounds of imagined animals, with noise; needs no file and no network.

The classes are a rising and a falling chirp, a steady whistle with harmonics, a trill and a series of clicks.
Pitch, length, place, strength and noise differ from call to call, and pitch from animal to animal. The calls
of an animal lie in one split.

The random numbers are whole and the same on every machine; what is made of them is computed in floating point
and rounded to 16 bits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hwnas.networks.mel_settings import LogMelSettings
from hwnas.tasks import CLASSIFICATION

from .columns import Column
from .scenes_drawing import Draws
from .shapes import Reals
from .signals import SignalArray
from .sounds import sound_listing
from .source import NAMED, TEST, TRAIN, VAL, DataRequest, Listing

CALLS = ("chirp-down", "chirp-up", "clicks", "trill", "whistle")
RATE_HZ = 8000
SECONDS = 0.5
N_ANIMALS = 40
PER_ANIMAL = 6
"""Calls of each class."""

_SEED = 8000
_UNIT = 1000


@NAMED.add("calls")
def open_calls(request: DataRequest) -> CallSource:
    """The calls, animal by animal."""
    settings = LogMelSettings.of(RATE_HZ, SECONDS)
    waves, names, labels, animals = [], [], [], []
    for animal in range(N_ANIMALS):
        draws = Draws(_SEED, animal)
        pitch_hz = float(draws.between(600, 1500, 1)[0])
        for label, call in enumerate(CALLS):
            waves.append(_calls(draws, call, pitch_hz, settings.samples))
            names += [f"animal-{animal:02d}-{call}-{k}" for k in range(PER_ANIMAL)]
            labels += [label] * PER_ANIMAL
            animals += [animal] * PER_ANIMAL
    fifth = N_ANIMALS // 5
    split = np.array([TEST] * fifth + [VAL] * fifth + [TRAIN] * (N_ANIMALS - 2 * fifth), np.int8)
    n = len(names)
    listing = sound_listing(
        settings,
        name="calls",
        class_names=CALLS,
        labels=np.array(labels, np.int64),
        names=tuple(names),
        given=split[animals],
        sizes_bytes=np.full(n, 2 * settings.samples, np.int64),
        task=CLASSIFICATION,
        groups=np.array(animals, np.int64),
        columns=(Column.of("animal", [f"{animal:02d}" for animal in animals]),),
    )
    return CallSource(listing, np.concatenate(waves), settings)


@dataclass(frozen=True, eq=False)
class CallSource:
    """waves: (n, samples)."""

    listing: Listing
    waves: SignalArray
    settings: LogMelSettings

    def natural_size(self) -> int:
        """Frames of a call."""
        return self.settings.frames

    def read(self, index: int, image_size: int) -> SignalArray:
        """(bands, 1, frames)."""
        return self.settings.features(self.waves[index])[:, None]

    def raw(self, index: int) -> SignalArray:
        """(1, 1, samples)."""
        waveform: SignalArray = self.waves[index]
        return waveform[None, None]

    def content_key(self, index: int) -> bytes:
        """The waveform itself."""
        waveform: SignalArray = self.waves[index]
        return waveform.tobytes()


def _share(draws: Draws, low: float, high: float) -> Reals:
    """(PER_ANIMAL, 1)."""
    return draws.between(round(low * _UNIT), round(high * _UNIT), PER_ANIMAL, 1) / _UNIT


def _calls(draws: Draws, call: str, pitch_hz: float, samples: int) -> npt.NDArray[np.float32]:
    """(PER_ANIMAL, samples) of a class."""
    time = np.arange(samples)[None, :] / RATE_HZ
    length, strength = _share(draws, 0.15, 0.3), _share(draws, 0.05, 0.3)
    begin = _share(draws, 0.02, 0.15)
    place = (time - begin) / length  # 0..1 inside the call
    inside = np.where((place >= 0) & (place <= 1), np.sin(np.pi * np.clip(place, 0, 1)) ** 2, 0.0)
    hz = pitch_hz * _share(draws, 0.85, 1.15)
    sweep = {"chirp-up": 0.5, "chirp-down": -0.5}.get(call, 0.0)
    turns = (time - begin) * hz * (1 + sweep * (place - 0.5))
    tone = np.sin(2 * np.pi * turns)
    beats = _share(draws, 18, 30) * (time - begin)
    if call == "whistle":
        tone = 0.7 * tone + 0.4 * np.sin(4 * np.pi * turns)
    elif call == "trill":
        tone = tone * (np.sin(2 * np.pi * beats) > 0)
    elif call == "clicks":
        noise = draws.between(-_UNIT, _UNIT, PER_ANIMAL, samples) / _UNIT
        tone = noise * (beats % 1 < 0.15)
    hiss = draws.between(-_UNIT, _UNIT, PER_ANIMAL, samples) / _UNIT * _share(draws, 0.01, 0.1)
    values = strength * inside * tone + hiss
    return (np.rint(np.clip(values, -1, 1) * 32767) / 32768).astype(np.float32)
