"""Log-mel energies of the module and of the cache, against an independent computation by an FFT."""

import numpy as np
import pytest
import torch
from scipy.signal import get_window

from hwnas.networks.log_mel import LogMel
from hwnas.networks.mel_settings import LogMelSettings

SETTINGS = LogMelSettings.of(8000, 0.5)


def tone(hz: float, settings: LogMelSettings, strength: float = 0.5) -> np.ndarray:
    time = np.arange(settings.samples) / settings.rate_hz
    return (strength * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def by_fft(waveform: np.ndarray, s: LogMelSettings) -> np.ndarray:
    """(bands, frames) in double precision: rfft, and triangles by interpolation between the corners."""
    window = get_window("hann", s.window)
    starts = range(0, s.samples - s.window + 1, s.hop)
    frames = np.stack([waveform[i : i + s.window].astype(np.float64) * window for i in starts])
    energy = np.abs(np.fft.rfft(frames) / window.sum()) ** 2
    mels = np.linspace(2595 * np.log10(1 + 20 / 700), 2595 * np.log10(1 + s.rate_hz / 1400), s.bands + 2)
    corners = 700 * (10 ** (mels / 2595) - 1)
    bins = np.fft.rfftfreq(s.window, 1 / s.rate_hz)
    bands = [np.interp(bins, corners[i : i + 3], [0, 1, 0], left=0, right=0) for i in range(s.bands)]
    return np.log(energy @ np.array(bands).T + 1e-6).T


@pytest.mark.parametrize("rate_hz", [8000, 16000])
def test_log_mel_is_that_of_an_fft(rate_hz: int) -> None:
    settings = LogMelSettings.of(rate_hz, 0.5)
    noise = np.random.default_rng(0).normal(0, 0.1, settings.samples).astype(np.float32)
    for waveform in (noise, tone(440, settings) + 0.05 * noise, tone(1000, settings), 0 * noise):
        expected = by_fft(waveform, settings)
        assert expected.shape == (40, settings.frames)
        np.testing.assert_allclose(settings.features(waveform), expected, atol=1e-4)
        with torch.no_grad():
            got = LogMel(settings)(torch.from_numpy(waveform)[None, None, None])
        np.testing.assert_allclose(got[0, :, 0].numpy(), expected, atol=1e-4)


def test_a_tone_is_in_the_band_of_its_pitch_and_silence_in_none() -> None:
    energy = SETTINGS.features(tone(1000, SETTINGS, 1.0))
    band = int(energy.mean(axis=1).argmax())
    assert np.argmax(SETTINGS.mel[band]) * SETTINGS.rate_hz / SETTINGS.window == pytest.approx(1000, abs=60)
    np.testing.assert_allclose(SETTINGS.features(tone(1000, SETTINGS, 0.0)), np.log(1e-6), atol=1e-6)


def test_nothing_of_it_is_learned() -> None:
    assert not any(p.requires_grad for p in LogMel(SETTINGS).parameters())
    assert SETTINGS.frames == 48  # 1 + (4000 - 200) // 80
