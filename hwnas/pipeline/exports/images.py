"""What the options of an export say of images: which they are, how large, and how they are normalised."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hwnas.data import Data, load_data
from hwnas.pipeline.spellings import data_spec
from hwnas.runs.log import Log
from lut.home import data_home
from profilers.graph import OnnxGraph
from targets.errors import UsageError

from .options import ExportOptions


def images_named(options: ExportOptions, image_size: int | None) -> Data:
    """The images of --data. image_size: side in pixels; None for what suits them."""
    return load_data(
        data_spec(str(options.data), options.path),
        image_size,
        options.seed,
        root=data_home(options.home),
        labels_csv=Path(options.labels) if options.labels else None,
        download=options.download,
        limit=options.limit,
        skip_broken=options.skip_broken,
    )


def image_size_of(graph: OnnxGraph, options: ExportOptions) -> int | None:
    """The side of the images that the file reads, unless the user gives another."""
    shapes = [tensor.shape for tensor in graph.inputs.values()]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        names = ", ".join(f"{name} {list(t.shape)}" for name, t in graph.inputs.items())
        raise UsageError(
            f"{options.source} has the inputs {names}; accuracy and calibration are of networks that "
            "read one batch of images (n, channels, height, width); leave out --data"
        )
    side = shapes[0][-1]
    return options.image_size or (side if isinstance(side, int) else None)


def given_normalisation(options: ExportOptions) -> dict[str, Any]:
    """What --mean and --std say."""
    texts = {name: getattr(options, name) for name in ("mean", "std")}
    return {name: list(_numbers(text, f"--{name}")) for name, text in texts.items() if text is not None}


def with_normalisation(data: Data, described: dict[str, Any], options: ExportOptions, log: Log) -> Data:
    """The images with the mean and deviation that the file was trained with."""
    pairs: dict[str, Any] = {}
    for name in ("mean", "std"):
        values = described.get(name)
        if values is None:
            continue
        if len(values) != data.in_channels:
            raise UsageError(
                f"--{name} has {len(values)} numbers, the images of {data.name} have "
                f"{data.in_channels} channels"
            )
        pairs[name] = tuple(map(float, values))
    missing = [name for name in ("mean", "std") if name not in pairs]
    if missing:
        log.warn(
            f"{options.source} does not say its {' and '.join(missing)}; those of {data.name} are taken. "
            "Give --mean and --std where it was trained with others"
        )
    return dataclasses.replace(data, **pairs)


def _numbers(text: str, option: str) -> Iterator[float]:
    for part in text.split(","):
        try:
            yield float(part)
        except ValueError:
            raise UsageError(f"{option} must be numbers separated by commas, got {text!r}") from None
