"""One WAV file to one mono waveform: the only place that decodes sound."""

from __future__ import annotations

import io
import math
import struct
import warnings

import numpy as np
import numpy.typing as npt

from targets.errors import DamagedFileError

SUFFIXES = (".wav", ".wave")
Waveform = npt.NDArray[np.float32]
"""(samples,), of integer files in -1..1."""

_MOST_HZ = 1_000_000
"""A header may state any rate, and the filter to another rate is as long as this one is high."""

_SLOW_HZ, _MOST_SLOW_S = 1_000, 14_400.0
"""Below the first a sound grows by the ratio of the rates, so that of a long one no memory holds."""


def is_sound(path: str) -> bool:
    """Whether the suffix is one that can be decoded."""
    return path.lower().endswith(SUFFIXES)


def decode_wav(raw: bytes, where: str) -> tuple[int, Waveform]:
    """(rate in Hz, the mean of the channels): PCM of 8, 16, 24 or 32 bits, or floats.

    DamagedFileError naming `where` for what is none of these, is cut short or empty.
    """
    from scipy.io import wavfile

    try:
        with warnings.catch_warnings(action="ignore"):  # chunks that it does not know
            warnings.filterwarnings("error", "Reached EOF prematurely")
            rate_hz, samples = wavfile.read(io.BytesIO(raw))
    except wavfile.WavFileWarning:
        raise DamagedFileError(
            f"{where}: is cut short, its header states more sound than it holds; replace or remove it"
        ) from None
    except (ValueError, EOFError, struct.error, OSError, IndexError, TypeError, MemoryError) as error:
        raise DamagedFileError(
            f"{where}: cannot be read as WAV of PCM or floats ({error}); convert or remove it"
        ) from None
    if not samples.size or rate_hz <= 0:
        raise DamagedFileError(f"{where}: holds no sound (0 samples); replace or remove it")
    if rate_hz > _MOST_HZ or (rate_hz < _SLOW_HZ and len(samples) / rate_hz > _MOST_SLOW_S):
        raise DamagedFileError(
            f"{where}: its header states {rate_hz} Hz, {len(samples) / rate_hz:g} s in all; allowed: at most "
            f"{_MOST_HZ} Hz, and {_MOST_SLOW_S:g} s below {_SLOW_HZ} Hz; correct or remove it"
        )
    values = _unit(samples)
    mono: Waveform = (values if values.ndim == 1 else values.mean(axis=1)).astype(np.float32)
    if not np.isfinite(mono).all():
        raise DamagedFileError(f"{where}: has samples that are no numbers; replace or remove it")
    return int(rate_hz), mono


def _unit(samples: npt.NDArray[np.generic]) -> npt.NDArray[np.float64]:
    """Integers in -1..1; 24 bits arrive in the upper part of 32."""
    values = samples.astype(np.float64)
    if samples.dtype == np.uint8:
        return (values - 128) / 128
    return values / 2.0 ** (8 * samples.dtype.itemsize - 1) if samples.dtype.kind == "i" else values


def at_rate(waveform: Waveform, rate_hz: int, wanted_hz: int) -> Waveform:
    """The sound at another rate, by a polyphase filter."""
    if rate_hz == wanted_hz:
        return waveform
    from scipy.signal import resample_poly

    common = math.gcd(rate_hz, wanted_hz)
    resampled: Waveform = resample_poly(waveform, wanted_hz // common, rate_hz // common).astype(np.float32)
    return resampled


def fitted(waveform: Waveform, samples: int) -> Waveform:
    """The middle of a longer sound; a shorter one between zeros."""
    spare = len(waveform) - samples
    if spare >= 0:
        return np.ascontiguousarray(waveform[spare // 2 : spare // 2 + samples])
    return np.pad(waveform, (-spare // 2, -spare - -spare // 2))
