"""A job: a folder with a manifest and ONNX files, complete in itself so that it can travel to a device."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from targets import Target
from targets.errors import DamagedFileError
from targets.files import read_json, sha256, write_atomic, write_json

MANIFEST = "manifest.json"
ROWS = "rows.jsonl"
VERSION = 2

_ORT_FORMAT = b"ORTM"
"""Bytes 4 to 8 of a file in onnxruntime's own format, which the runtime tells by the suffix alone."""

ALONE = ("memory", "energy")
"""Kinds that are measured model by model, with nothing else loaded."""

KINDS = ("time", "kernels", *ALONE)
"""What can be asked of a model: its latency; the times of its kernels in context; the memory, load time
and first run of a fresh process; the energy of a run."""


_FOR_EVER = 1e9
"""Above all times and shares that are meant, infinity too."""


@dataclass(frozen=True)
class Timing:
    """How long and how exactly to measure.

    seconds: limit on wall time of the whole process, loading included.
    seed: of the inputs and of the order of networks.
    warmups: runs before the first sample.
    min_sample_ms: short models are repeated until a sample takes this long.
    min_rounds, max_rounds: samples of a model, at least and at most.
    ci_pct: a model with enough samples is done when its interval is narrower than this on either side.
    passes: how often the whole job is gone through, with new sessions; each leaves rows of its own.
    together: how many models are loaded at the same time and interleaved; 0: all.
    """

    seconds: float
    seed: int = 0
    warmups: int = 3
    min_sample_ms: float = 1.0
    min_rounds: int = 20
    max_rounds: int = 200
    ci_pct: float = 1.0
    passes: int = 1
    together: int = 0

    def __post_init__(self) -> None:
        for name in ("seconds", "min_sample_ms", "ci_pct"):
            value = getattr(self, name)
            if not (isinstance(value, (int, float)) and 0 < value < _FOR_EVER):
                raise DamagedFileError(f"job: {name} must be a number above 0, got {value!r}")
        if self.passes < 1 or self.together < 0:
            raise DamagedFileError(
                f"job: passes must be at least 1 and together at least 0, got {self.passes}, {self.together}"
            )
        if not (self.warmups >= 3 and 4 <= self.min_rounds <= self.max_rounds):
            raise DamagedFileError(
                f"job: warmups must be at least 3 and 4 <= min_rounds <= max_rounds, got "
                f"{self.warmups}, {self.min_rounds}, {self.max_rounds}"
            )


@dataclass(frozen=True)
class Job:
    """What to measure, on what, and how long.

    folder: where the manifest, the models and the rows lie.
    target: what they run on.
    models: key -> ONNX file in the folder, the most important first, in case time runs out.
    reference: the file of the network that is part of every round.
    timing: how long and how exactly.
    kinds: per key, what is measured.
    """

    folder: Path
    target: Target
    models: Mapping[str, str]
    reference: str
    timing: Timing
    kinds: Mapping[str, tuple[str, ...]]

    @property
    def rows_path(self) -> Path:
        """The JSON lines that the profiler appends to."""
        return self.folder / ROWS

    def path(self, file: str) -> Path:
        """The path of a model of this job."""
        return self.folder / file


def write_job(
    folder: Path,
    target: Target,
    models: Mapping[str, bytes],
    reference: bytes,
    timing: Timing,
    kinds: Mapping[str, tuple[str, ...]] | None = None,
) -> Job:
    """A new job in `folder`: model files, their hashes, the manifest last. kinds: `time` where not given."""
    wanted = {key: (kinds or {}).get(key, ("time",)) for key in models}
    files: dict[str, str] = {}
    folder.mkdir(parents=True, exist_ok=True)
    for i, (key, data) in enumerate(models.items()):
        files[key] = f"{i:04d}.{'ort' if data[4:8] == _ORT_FORMAT else 'onnx'}"
        (folder / files[key]).write_bytes(data)  # no fsync: a torn file differs from its hash
    write_atomic(folder / "reference.onnx", reference)
    hashes = {file: sha256(models[key]) for key, file in files.items()}
    write_json(
        folder / MANIFEST,
        {
            "version": VERSION,
            "target": target.to_json(),
            "models": [
                {"key": k, "file": f, "sha256": hashes[f], "kinds": list(wanted[k])} for k, f in files.items()
            ],
            "reference": {"file": "reference.onnx", "sha256": sha256(reference)},
            "timing": dataclasses.asdict(timing),
        },
    )
    return Job(
        folder=folder,
        target=target,
        models=files,
        reference="reference.onnx",
        timing=timing,
        kinds=wanted,
    )


def read_job(folder: Path) -> Job:
    """The job in `folder`, every file checked; DamagedFileError names the file and the reason."""
    path = folder / MANIFEST
    document = read_json(path, "profiler job")
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise DamagedFileError(f"profiler job: {path} is not a job of version {VERSION}")
    try:
        models = {m["key"]: _checked(folder, m) for m in document["models"]}
        if len(models) != len(document["models"]):
            raise DamagedFileError(f"profiler job: {path} names a key twice")
        kinds = {m["key"]: _kinds(m, path) for m in document["models"]}
        reference = _checked(folder, document["reference"])
        timing = Timing(**document["timing"])
        target = Target.from_json(document["target"], str(path))
    except (KeyError, TypeError) as error:
        raise DamagedFileError(f"profiler job: {path} is damaged ({error!r})") from None
    return Job(folder=folder, target=target, models=models, reference=reference, timing=timing, kinds=kinds)


def _kinds(entry: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    kinds = tuple(entry["kinds"])
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise DamagedFileError(
            f"profiler job: {path} asks for {unknown or 'nothing'} of {entry['key']!r}; "
            f"known: {', '.join(KINDS)}"
        )
    return kinds


_NAME = 100


def _checked(folder: Path, entry: Mapping[str, Any]) -> str:
    file = str(entry["file"])
    path = folder / file
    if Path(file).name != file or len(file) > _NAME:
        raise DamagedFileError(f"profiler job: file {file[:_NAME]!r} must lie in the job's own folder")
    if not path.is_file() or sha256(path) != entry["sha256"]:
        raise DamagedFileError(f"profiler job: {path} is missing or damaged; write the job again")
    return file
