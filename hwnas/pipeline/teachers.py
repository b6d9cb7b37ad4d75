"""What the user names as a teacher or as weights to begin with, as a training job holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from hwnas.core.samples import SampleKind
from hwnas.runs.config import SearchConfig
from hwnas.training.known import build_known, is_of_library
from hwnas.training.start import SHARED, SUPERNET_FILE
from hwnas.training.teacher import with_weights
from targets.errors import DamagedFileError, UsageError
from targets.files import sha256, user_path

from .earlier_training import earlier_training

LARGEST = "largest"
"""The word of `--teacher` for the run's own largest pick."""


class Taught(Protocol):
    """What a teacher has to fit: `hwnas.data.Data`, or what is known of it before it is read."""

    @property
    def name(self) -> str:
        """Of the data set."""
        ...

    @property
    def kind(self) -> SampleKind:
        """Images, windows, pieces of text."""
        ...

    @property
    def network_shape(self) -> Mapping[str, Any]:
        """`image_size`, `in_channels` and `n_classes` of networks for them."""
        ...


@dataclass(frozen=True, slots=True)
class KnownSamples:
    """Samples of which no more is known."""

    name: str
    kind: SampleKind
    network_shape: Mapping[str, Any]


def require_teacher(config: SearchConfig, data: Taught) -> None:
    """UsageError or DamagedFileError where the teacher that a search names is none for these samples."""
    if config.teacher != LARGEST:
        teacher_of(config.teacher, config.teacher_weights, data)
    elif config.teacher_weights is not None:
        raise UsageError(f"--teacher-weights: --teacher {LARGEST} is trained by the search; leave them out")


def teacher_of(name: str | None, weights: str | Path | None, data: Taught) -> dict[str, Any] | None:
    """The `teacher` of a job, checked to answer for the classes of `data`; None where none is named."""
    if name is None:
        return None
    if is_of_library(name):
        if data.kind.dims != 2:
            raise UsageError(
                f"--teacher {name} reads images, and {data.name} has {data.kind.plural}; give RUN/ID of a "
                "search of them, a folder of `hwnas train`, or an ONNX file"
            )
        return _known(name, weights, data)
    if weights is not None:
        raise UsageError("--teacher-weights are for torchvision:NAME or timm:NAME; others bring theirs")
    place = user_path(name)
    if place.suffix == ".onnx" or place.is_file():
        return _onnx(place, data)
    trained = earlier_training(place)
    _require_alike(name, trained.job.network["space"], data)
    return {"network": dict(trained.job.network), **trained.start}


def _require_alike(name: str, space: Mapping[str, Any], data: Taught) -> None:
    """UsageError where a network of that space reads other samples than `data` has, or answers otherwise."""
    wanted: Mapping[str, Any] = {"dims": 2, **data.network_shape}
    known = {"dims": 2, **space}
    for key, what in (("dims", "dimensions"), ("in_channels", "channels"), ("n_classes", "outputs")):
        if key in known and known[key] != wanted[key]:
            raise UsageError(
                f"--teacher {name} is of {known[key]} {what}, and {data.name} of {wanted[key]}; give a "
                "teacher of the same data"
            )


def start_of(place: Path) -> dict[str, str]:
    """The `start` of a job: a safetensors file, shared weights of a search, or what was trained earlier."""
    place = user_path(place)
    if place.is_file():
        if place.suffix != ".safetensors":
            raise UsageError(f"--start-from {place} is no safetensors file; convert its state_dict to one")
        shared = {SHARED: "supernet"} if place.name == SUPERNET_FILE else {}
        return {"file": str(place.resolve()), "sha256": sha256(place), **shared}
    if place.suffix == ".safetensors":
        raise UsageError(f"--start-from {place} does not exist; give the file of the weights")
    return earlier_training(place).start


def _known(name: str, weights: str | Path | None, data: Taught) -> dict[str, Any]:
    if weights is None:
        raise UsageError(
            f"--teacher {name} needs trained weights, and nothing is fetched; give their safetensors "
            "file with --teacher-weights"
        )
    path = user_path(weights)
    raw = _read(path)
    shape = {key: data.network_shape[key] for key in ("n_classes", "in_channels")}
    with_weights(build_known(name, **shape), raw, str(path))
    return {
        "model": name,
        **shape,
        "file": str(path.resolve()),
        "sha256": sha256(raw),
    }


def _onnx(path: Path, data: Taught) -> dict[str, Any]:
    from hwnas.exporting.onnx_score import open_session

    raw = _read(path)
    session = open_session(raw)
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1:
        raise UsageError(f"teacher {path} has {len(inputs)} inputs; a teacher reads one, the images")
    shape, answers = inputs[0].shape, outputs[0].shape
    sample = data.kind.shape(data.network_shape["in_channels"], data.network_shape["image_size"])
    wanted: Mapping[str, Any] = dict(zip(("channels", "height", "width"), sample, strict=True))
    fits = len(shape) == 4 and all(
        not isinstance(size, int) or size == wanted[key] for key, size in zip(wanted, shape[1:], strict=True)
    )
    if not fits:
        raise UsageError(
            f"teacher {path} reads {list(shape)}, and the images are {list(wanted.values())} (channels, "
            "height, width); give another teacher, or --image-size"
        )
    n_classes = data.network_shape["n_classes"]
    known = answers[-1] if answers else 1
    if isinstance(known, int) and known != n_classes:
        raise UsageError(f"teacher {path} answers for {known} classes, and {data.name} has {n_classes}")
    return {"file": str(path.resolve()), "sha256": sha256(raw)}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"{path}: {error.strerror}") from None
