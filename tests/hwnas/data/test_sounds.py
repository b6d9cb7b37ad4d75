"""Sounds: WAV files of every kind to log-mel energies and waveforms; bad files have one answer each."""

from __future__ import annotations

import io
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from hwnas.data import Data, file_batches, load_data
from hwnas.data.wav import at_rate, decode_wav, fitted
from targets.errors import DamagedFileError, UsageError


def wav(samples: np.ndarray, rate_hz: int = 8000) -> bytes:
    buffer = io.BytesIO()
    wavfile.write(buffer, rate_hz, samples)
    return buffer.getvalue()


def pcm24(values: np.ndarray, rate_hz: int = 8000) -> bytes:
    """(samples,) in -1..1 as 24 bits, by the standard library."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(3)
        file.setframerate(rate_hz)
        whole = np.round(values * (2**23 - 1)).astype("<i4")
        file.writeframes(b"".join(int(v).to_bytes(3, "little", signed=True) for v in whole))
    return buffer.getvalue()


TONE = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4000) / 8000)


def write_folder(folder: Path, n: int = 12, rate_hz: int = 8000) -> Path:
    """Two classes of noisy tones, half a second long."""
    rng = np.random.default_rng(0)
    time = np.arange(rate_hz // 2) / rate_hz
    for name, hz in (("high", 1500), ("low", 300)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            sound = 0.3 * np.sin(2 * np.pi * hz * time) + rng.normal(0, 0.05, len(time))
            (folder / name / f"{i}.wav").write_bytes(wav((sound * 32767).astype(np.int16), rate_hz))
    return folder


def load(path: Path, home: Path, **options: object) -> Data:
    return load_data(str(path), None, 0, root=home, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("raw", "atol"),
    [
        (wav((TONE * 127 + 128).round().astype(np.uint8)), 1e-2),
        (wav((TONE * 32767).round().astype(np.int16)), 1e-4),
        (pcm24(TONE), 1e-6),
        (wav((TONE * (2**31 - 1)).round().astype(np.int32)), 1e-6),
        (wav(TONE.astype(np.float32)), 1e-7),
        (wav(TONE), 1e-7),
        (wav(np.stack([TONE * 2, 0 * TONE], axis=1).astype(np.float32)), 1e-7),
    ],
    ids=["8", "16", "24", "32", "float32", "float64", "stereo"],
)
def test_every_kind_of_wav_is_the_same_sound(raw: bytes, atol: float) -> None:
    rate_hz, sound = decode_wav(raw, "x.wav")
    assert rate_hz == 8000
    np.testing.assert_allclose(sound, TONE, atol=atol)


def test_lengths_and_rates_are_made_equal() -> None:
    five = np.arange(5, dtype=np.float32)
    assert fitted(five, 3).tolist() == [1, 2, 3]
    assert fitted(five, 5).tolist() == [0, 1, 2, 3, 4]
    assert sorted(fitted(five, 8).tolist()) == [0, 0, 0, 0, 1, 2, 3, 4]
    assert len(fitted(five, 8)) == 8
    slower = at_rate(TONE.astype(np.float32), 8000, 4000)
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2000) / 4000)
    np.testing.assert_allclose(slower[100:-100], expected[100:-100], atol=2e-3)


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "cannot be read as WAV"),
        (b"RIFF and no more", "cannot be read as WAV"),
        (wav(np.zeros(0, np.int16)), r"holds no sound \(0 samples\)"),
        (wav(np.ones(1000, np.int16))[:60], "is cut short"),
        (wav(np.full(100, np.nan, np.float32)), "has samples that are no numbers"),
    ],
)
def test_broken_files_are_named(raw: bytes, says: str) -> None:
    with pytest.raises(DamagedFileError, match=f"here: a.wav: {says}"):
        decode_wav(raw, "here: a.wav")


def test_a_folder_of_sounds_is_a_data_set(tmp_path: Path) -> None:
    data = load(write_folder(tmp_path / "sounds"), tmp_path)
    assert (data.kind.name, data.sample_shape, data.class_names) == ("sound", (40, 1, 48), ("high", "low"))
    assert "mono, 8000 Hz, the middle 0.5 s" in data.preprocessing
    x, _ = next(file_batches(data, "test", 2))
    assert x.shape == (2, 1, 1, 4000)
    assert data.front is not None
    features = data.front.features(x[0, 0, 0].numpy())
    np.testing.assert_array_equal(features, data.images(data.split("test")[:1])[0, :, 0].numpy())


def test_a_zip_and_another_length_and_rate(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "sounds")
    (folder / "low/0.wav").write_bytes(wav((TONE * 9).astype(np.int16), 11025))
    with zipfile.ZipFile(tmp_path / "s.zip", "w") as archive:
        for path in sorted(folder.rglob("*.wav")):
            archive.write(path, path.relative_to(tmp_path))
    data = load(tmp_path / "s.zip", tmp_path, clip_seconds=0.25)
    assert data.sample_shape == (40, 1, 23)
    assert any("another rate (11025 Hz) are brought to 8000 Hz" in note for note in data.notes)


def test_fast_sounds_are_brought_to_16_khz(tmp_path: Path) -> None:
    data = load(write_folder(tmp_path / "sounds", 4, 44100), tmp_path)
    assert data.front is not None and (data.front.rate_hz, data.front.samples) == (16000, 8000)


def test_broken_sounds_are_all_named_or_left_out(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "sounds")
    (folder / "low/bad.wav").write_bytes(b"no sound")
    with pytest.raises(DamagedFileError, match=r"low/bad.wav: cannot be read as WAV"):
        load(folder, tmp_path)
    assert len(load(folder, tmp_path, skip_broken=True).labels) == 24


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"window": 32}, r"--window: it cuts recordings in a CSV .* is a folder of sounds"),
        ({"clip_seconds": 0.1}, "--clip-seconds is 0.1; allowed: 0.2 to 60"),
        ({"clip_seconds": float("nan")}, "--clip-seconds is nan; allowed: 0.2 to 60"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        load(write_folder(tmp_path / "sounds", 4), tmp_path, **options)


def test_sounds_too_slow_for_bands_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"most sounds have 50 Hz, at least 1,000 Hz are needed"):
        load(write_folder(tmp_path / "sounds", 4, rate_hz=50), tmp_path)


def test_one_class_is_refused_in_the_words_of_sounds(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "sounds")
    for path in (folder / "low").iterdir():
        path.unlink()
    with pytest.raises(UsageError, match=r"at least 2 classes are needed, found 1 .*each with sounds"):
        load(folder, tmp_path)


def test_loose_sounds_are_refused_in_the_words_of_sounds(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "sounds")
    said = r"12 sounds but no class folders, so they have no labels; expected <class>/\*\.wav or \S+\.wav$"
    with pytest.raises(UsageError, match=said):
        load(folder / "low", tmp_path)


def test_calls_of_an_animal_are_in_one_split(tmp_path: Path) -> None:
    data = load_data("calls", None, 0, root=tmp_path)
    document = data.splits_json()
    animals = [{name[:9] for name in document[s]} for s in ("train", "val", "test")]
    assert [len(a) for a in animals] == [24, 8, 8] and len(set.union(*animals)) == 40


@pytest.mark.parametrize(("rate_hz", "n"), [(2**31 - 1, 10), (1, 20_000)])
def test_a_rate_that_no_memory_holds_is_damage(rate_hz: int, n: int) -> None:
    with pytest.raises(DamagedFileError, match=f"its header states {rate_hz} Hz"):
        decode_wav(wav(np.zeros(n, np.int16), rate_hz), "a.wav")
