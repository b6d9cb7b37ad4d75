"""Sounds in WAV files, a folder for each class: log-mel energies to train on, waveforms for files."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from hwnas.core.samples import SOUND
from hwnas.networks.mel_settings import LogMelSettings
from hwnas.tasks import LabelTable
from targets.errors import DamagedFileError, UsageError

from .files import ZIP_ERRORS, Files, hidden, open_files
from .layout import Placed, arrange, ignored_note, is_image
from .signals import SignalArray
from .source import DataRequest, Listing
from .wav import Waveform, at_rate, decode_wav, fitted, is_sound

MOST_HZ = 16_000
"""Faster sounds are brought down to it: speech and most events have little above 8 kHz."""

LEAST_HZ = 1_000
"""Of slower ones a frame has too few samples for bands."""

MOST_SECONDS = 10.0
_LOOKED_AT = 101
"""Files that are read for the rate and the length: their median is sure to a few percent of rank."""


@dataclass(frozen=True, eq=False)
class SoundSource:
    """Sample i is the file `listing.names[i]` of `files`."""

    listing: Listing
    files: Files
    settings: LogMelSettings

    def natural_size(self) -> int:
        """Frames of a clip."""
        return self.settings.frames

    def read(self, index: int, image_size: int) -> SignalArray:
        """(bands, 1, frames)."""
        return self.settings.features(self.waveform(index))[:, None]

    def raw(self, index: int) -> SignalArray:
        """(1, 1, samples): what exported files take."""
        return self.waveform(index)[None, None]

    def content_key(self, index: int) -> bytes:
        """Hash of the file."""
        return hashlib.sha256(self.files.read(self.listing.names[index])).digest()

    def waveform(self, index: int) -> Waveform:
        """The clip at the rate and of the length of all."""
        name = self.listing.names[index]
        rate_hz, sound = decode_wav(self.files.read(name), f"{self.files.where}: {name}")
        return fitted(at_rate(sound, rate_hz, self.settings.rate_hz), self.settings.samples)


def holds_sounds(path: Path) -> bool:
    """Whether the first sample in a folder or zip is a sound; nothing but names is looked at."""
    if path.is_dir():
        for _, folders, names in os.walk(path, followlinks=True):
            folders[:] = sorted(folder for folder in folders if not hidden(folder))
            for name in names:
                if is_image(name) or is_sound(name):
                    return is_sound(name)
        return False
    if path.suffix.lower() != ".zip":
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not hidden(name)]
    except ZIP_ERRORS:
        return False  # who opens it as images says what is wrong
    return any(map(is_sound, names)) and not any(map(is_image, names))


def open_sounds(path: Path, request: DataRequest) -> SoundSource:
    """The sounds below `path` with the names of their folders as labels."""
    files = open_files(path)
    with SOUND.speaking():
        placed, notes = arrange(files.paths, files.folders, files.where, is_sound, "*.wav")
    notes += ignored_note(files.refused, files.why_refused)
    placed = sorted(placed, key=lambda item: item.path)
    rates, seconds = _looked_at(files, [item.path for item in placed])
    rate_hz = min(MOST_HZ, Counter(rates).most_common(1)[0][0] if rates else MOST_HZ)
    if rate_hz < LEAST_HZ:
        raise UsageError(
            f"{files.where}: most sounds have {rate_hz} Hz, at least {LEAST_HZ:,} Hz are needed; give slower "
            "signals as windows of sensors, in an .npz file or a CSV"
        )
    if any(rate != rate_hz for rate in rates):
        others = ", ".join(f"{rate} Hz" for rate in sorted(set(rates) - {rate_hz}))
        notes.append(f"sounds of another rate ({others}) are brought to {rate_hz} Hz")
    natural = min(MOST_SECONDS, np.ceil(10 * float(np.median(seconds or [1.0]))) / 10)
    settings = LogMelSettings.of(rate_hz, request.clip_seconds or natural)
    return _source(path.stem, files, placed, notes, settings, request)


def _looked_at(files: Files, paths: Sequence[str]) -> tuple[list[int], list[float]]:
    """Rates in Hz and lengths in seconds of an even sample of the files that can be read."""
    rates, seconds = [], []
    for place in np.unique(np.linspace(0, len(paths) - 1, _LOOKED_AT).astype(int)).tolist():
        with suppress(DamagedFileError):  # all that are broken are named together when they are decoded
            rate_hz, sound = decode_wav(files.read(paths[place]), paths[place])
            rates.append(rate_hz)
            seconds.append(len(sound) / rate_hz)
    return rates, seconds


def _source(
    name: str,
    files: Files,
    placed: Sequence[Placed],
    notes: Sequence[str],
    settings: LogMelSettings,
    request: DataRequest,
) -> SoundSource:
    paths = [item.path for item in placed]
    labels = request.task.read(LabelTable(name, ("folder",), [item.cells for item in placed], paths))
    stamps = "\n".join(f"{path}\t{files.stamp(path)}" for path in paths)
    listing = sound_listing(
        settings,
        name=name,
        class_names=labels.names,
        labels=labels.values,
        names=tuple(paths),
        given=np.array([item.split for item in placed], np.int8),
        sizes_bytes=np.array([files.size_bytes(path) for path in paths], np.int64),
        notes=tuple(notes),
        content=hashlib.sha256(f"{stamps}\n{settings}".encode("utf-8", "surrogateescape")).hexdigest(),
        task=request.task,
    )
    return SoundSource(listing, files, settings)


def sound_listing(settings: LogMelSettings, **known: object) -> Listing:
    """What all sounds have, with what is known of these."""
    seconds = settings.samples / settings.rate_hz
    make = partial(
        Listing,
        in_channels=settings.bands,
        flip=False,
        centred=False,
        kind=SOUND,
        front=settings,
        preprocessing=f"mono, {settings.rate_hz} Hz, the middle {seconds:g} s, shorter sounds between zeros",
    )
    return make(**known)  # type: ignore[arg-type]
