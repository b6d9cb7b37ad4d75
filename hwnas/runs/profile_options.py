"""The options of `hwnas profile`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval, Len

from .definition import Named, Option
from .options import HomeOptions, Text

DEVICE_MINUTES = 5.0


@dataclass(frozen=True, kw_only=True)
class DeviceProfileOptions(HomeOptions):
    """What is measured, for how long, and of which networks."""

    targets: Annotated[
        Annotated[tuple[Text, ...], Len(1, 64)],
        Option(
            "Device to measure, a name or a TOML file, repeatable: several are measured side by side",
            repeated="target",
        ),
    ] = ("host",)
    minutes: Annotated[
        Annotated[float, Interval(gt=0, le=1440)] | None,
        Option(f"Time to measure for; default {DEVICE_MINUTES:g}, for a space 0.8 and more by its size"),
    ] = None
    start_from: Annotated[
        Annotated[tuple[Text, ...], Len(0, 16)],
        Option(
            "Predictor of another device or context, repeatable: a few networks correct the nearest",
            repeated="start_from",
        ),
    ] = ()
    space: Annotated[
        Text | None,
        Named("space"),
        Option("Make the table of this search space instead, a name or a TOML file"),
    ] = None
    image_size: Annotated[
        Annotated[int, Interval(ge=16, le=224)] | None,
        Option("For --space: side in pixels, 16 to 224; default 32"),
    ] = None
    channels: Annotated[
        Annotated[int, Interval(ge=1, le=4)] | None,
        Option("For --space: channels of an image; default 3"),
    ] = None
    classes: Annotated[
        Annotated[int, Interval(ge=2, le=100_000)] | None,
        Option("For --space: classes to tell apart; default 10"),
    ] = None
    width_mult: Annotated[
        Annotated[float, Interval(ge=0.25, le=8)] | None,
        Option("For --space: factor on all channels; default by image size"),
    ] = None
    method: Annotated[
        Text | None,
        Option("For --space: block-level, or in-context (profiles of whole networks); default block-level"),
    ] = None
    batch: Annotated[
        Annotated[int, Interval(ge=1, le=1024)] | None,
        Option("For --space: images per inference; default 1"),
    ] = None
    seed: Annotated[
        Annotated[int, Interval(ge=0, le=2**32 - 1)], Option("Seed of the networks drawn to measure")
    ] = 0
    accept_noise: Annotated[
        bool, Option("Write it on a disturbed machine too, its noise stated, intervals as wide")
    ] = False
