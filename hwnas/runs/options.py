"""The options of several kinds of runs, defined once: type, range, help, and whether a resume changes it.

A group is a frozen dataclass; a kind of run inherits the groups that it has (`SearchConfig`, the searchers,
`Training`) and sets its own defaults. The groups of one kind alone stand beside (`search_options` and so on).
The command line is made of the same definitions (`hwnas.commands.derived`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from annotated_types import Interval, Len

from .definition import Named, Option, ReadAs
from .training_device import AUTO, DEVICE_WORDS, DEVICES

Text = Annotated[str, Len(1, 4096)]
Count = Annotated[int, Interval(ge=1, le=10_000_000)]
Place = Annotated[str | Path | None, ReadAs(Text | None)]

# Options whose name or default differs between the kinds of runs.
Images = Annotated[
    Text,
    Option(
        "A folder of images or sounds, a zip of one, a CSV, windows as .npz, a text, or scenes, digits, "
        "cifar10, cifar100, mnist, fashion-mnist, shapes, gauges, shape-masks, shape-boxes, "
        "gestures, calls, markov"
    ),
]
Device = Annotated[Text, Option("Device to search for, a name or a TOML file")]
SpaceName = Annotated[Text, Named("space"), Option("Search space, a name or a TOML file of stages")]
MethodName = Annotated[Text, Named("method"), Option("Gradient search, see `hwnas methods`")]
LatencyLimit = Annotated[
    Annotated[float, Interval(gt=0, le=1e9)] | None, Option("Milliseconds on the target")
]
Epochs = Annotated[int, Interval(ge=1, le=10_000)]
BatchSize = Annotated[int, Interval(ge=2, le=8192), Option("Images per training step")]


@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """How images are read."""

    topic: ClassVar[str] = "Images"

    image_size: Annotated[
        Annotated[int, Interval(ge=16, le=224)] | None,
        Option("Side in pixels, 16 to 224; default as the data suggest"),
    ] = None
    download: Annotated[bool, Option("Allow fetching cifar10 and the like", free=True)] = False
    skip_broken: Annotated[bool, Option("Leave out the images that cannot be read, and say which")] = False


@dataclass(frozen=True, kw_only=True)
class DatasetPlaceOptions(ImageOptions):
    """Where the images of a data set lie, and how many of them count."""

    path: Annotated[Place, Option("Folder of the images", free=True)] = None
    limit: Annotated[Count | None, Option("Use at most so many images; default all")] = None


@dataclass(frozen=True, kw_only=True)
class DatasetOptions(DatasetPlaceOptions):
    """Images of the Python API: a data set by name, or a folder of them."""

    dataset: Images = "cifar10"


@dataclass(frozen=True, kw_only=True)
class BudgetOptions:
    """What a network may cost."""

    topic: ClassVar[str] = "Budget and device"

    budgets: Annotated[
        Annotated[tuple[Text, ...], Len(0, 16)],
        Option(
            "Upper limit METRIC<=NUMBER, or NUMBER~MARGIN where more is allowed at a penalty, repeatable; "
            "metrics: latency_ms (of another device than the first: latency_ms@NAME), macs, params, size_mb, "
            "peak_memory_mb, energy_mj; default the median latency of 200 random architectures",
            repeated="budget",
        ),
    ] = ()
    energy_table: Annotated[
        Place, Option("CSV of key and energy_mj of every block, for a budget on energy_mj")
    ] = None


@dataclass(frozen=True, kw_only=True)
class ProfileOptions:
    """How a device is measured where no table fits."""

    topic: ClassVar[str] = "Budget and device"

    profile_minutes: Annotated[
        Annotated[float, Interval(gt=0, le=1440)] | None,
        Option("For measuring blocks where no table fits yet; default 0.8 and more by the space", free=True),
    ] = None
    accept_noise: Annotated[
        bool,
        Option("Take a table of a disturbed machine too, its noise stated and its margin as wide", free=True),
    ] = False


@dataclass(frozen=True, kw_only=True)
class CellOptions:
    """The scale of a network of cells."""

    topic: ClassVar[str] = "Search"

    cells: Annotated[Count | None, Option("Cells of the network; default as published")] = None
    channels: Annotated[Count | None, Option("Channels of its first cells; default as published")] = None


@dataclass(frozen=True, kw_only=True)
class HistoryOptions:
    """What a search leaves besides train_stats.csv, alphas.npz and the drawings of every epoch."""

    topic: ClassVar[str] = "Search"

    alpha_history: Annotated[bool, Option("Write alpha_<kind>_history.npy of the cells too", free=True)] = (
        False
    )
    trackers: Annotated[
        Annotated[tuple[Text, ...], Len(0, 8), Named("tracker")],
        Option("Also log to tensorboard or mlflow, repeatable; default none", free=True, repeated="tracker"),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class TrainingDeviceOptions:
    """Where networks are trained, and from which seed."""

    topic: ClassVar[str] = "Time and machine"

    seed: Annotated[Annotated[int, Interval(ge=0, le=2**32 - 1)], Option("Seed of everything random")] = 0
    device: Annotated[
        str,
        ReadAs(Literal[DEVICES], DEVICE_WORDS),
        Option("Where to train: auto (cuda where there is one), cpu, cuda (all cards), or a card as cuda:1"),
    ] = AUTO


@dataclass(frozen=True, kw_only=True)
class SpeedOptions(TrainingDeviceOptions):
    """The same, and how a gradient search computes."""

    bf16: Annotated[bool, Option("Gradient search in bfloat16, with --device cuda")] = False
    compile: Annotated[bool, Option("Gradient search with compiled cells (torch.compile)")] = False
    no_graphs: Annotated[
        bool, Option("Gradient search step by step on CUDA, instead of as CUDA graphs", free=True)
    ] = False


@dataclass(frozen=True, kw_only=True)
class HomeOptions:
    """Where tables and data lie."""

    topic: ClassVar[str] = "Files"

    home: Annotated[
        Place,
        Option("Folder of tables and data; default HWNAS_HOME, else the user data folder", free=True),
    ] = None


@dataclass(frozen=True, kw_only=True)
class FolderOptions(HomeOptions):
    """Where a run of the Python API lies, and what it says."""

    out: Annotated[
        Place, Option("Folder of the run; default runs/<what>-<hash of its identity>", free=True)
    ] = None
    quiet: Annotated[bool, Option("Show warnings and errors only", free=True)] = True
