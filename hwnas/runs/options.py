"""The options of every run, each defined once: type, range, help, and whether a resume may change it.

A group is a frozen dataclass; a kind of run inherits the groups that it has (`SearchConfig`, the searchers,
`Training`) and sets its own defaults. The command line is made of the same definitions
(`hwnas.commands.derived`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval, Len

from .definition import Named, Option, ReadAs

Text = Annotated[str, Len(1, 4096)]
Count = Annotated[int, Interval(ge=1, le=10_000_000)]
Place = Annotated[str | Path | None, ReadAs(Text | None)]

# Options whose name or default differs between the kinds of runs.
Images = Annotated[
    Text,
    Option(
        "An image folder, a zip of one, a CSV, or scenes, digits, cifar10, cifar100, mnist, fashion-mnist, "
        "shapes, gauges"
    ),
]
Device = Annotated[Text, Option("Device to search for, a name or a TOML file")]
SpaceName = Annotated[Text, Named("space"), Option("Search space, a name or a TOML file of stages")]
MethodName = Annotated[Text, Named("method"), Option("Gradient search, see `hwnas methods`")]
LatencyLimit = Annotated[
    Annotated[float, Interval(gt=0, le=1e9)] | None, Option("Milliseconds on the target")
]
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
class LabelledImageOptions(ImageOptions):
    """Images of `hwnas search`: by the name of a data set, or a folder of them."""

    data: Annotated[Images, Named("data")] = "scenes"
    labels: Annotated[
        Text | None, Option("CSV of file names and labels, where --data has no class folders")
    ] = None
    task: Annotated[
        Text,
        Named("task"),
        Option(
            "What is learned: classification (a class per image), multi-label (tags), regression (numbers)"
        ),
    ] = "classification"
    label_columns: Annotated[
        Annotated[tuple[Text, ...], Len(0, 4096)],
        Option(
            "Column of the CSV to learn, repeatable; default the one named label or the like, and for tags "
            "and numbers all columns that are nothing else",
            repeated="label-column",
        ),
    ] = ()
    group_column: Annotated[
        Text | None, Option("Column of the CSV; samples with one value of it, as a person, lie in one split")
    ] = None

    @property
    def label_options(self) -> dict[str, Any]:
        """What `load_data` and `inspect_data` are told of labels, as JSON values; defaults are left out."""
        known = {
            "labels_csv": self.labels,
            "task": None if self.task == type(self).task else self.task,
            "label_columns": list(self.label_columns),
            "group_column": self.group_column,
        }
        return {name: value for name, value in known.items() if value}


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
class TargetOptions(ProfileOptions):
    """The devices that networks are for."""

    targets: Annotated[
        Annotated[tuple[Text, ...], Len(1, 8)],
        Option(
            "Device to search for, a name, a TOML file, or one with stored or imported tables; repeatable, "
            "with budgets as latency_ms@NAME<=12",
            repeated="target",
        ),
    ] = ("host",)
    batch: Annotated[
        int, Interval(ge=1, le=1024), Option("Images per inference of the exported networks")
    ] = 1

    @property
    def target(self) -> str:
        """The first device."""
        return self.targets[0]


@dataclass(frozen=True, kw_only=True)
class SpaceOptions:
    """What networks are chosen from."""

    topic: ClassVar[str] = "Search"

    space: SpaceName = "mobile"
    width_mult: Annotated[
        Annotated[float, Interval(ge=0.25, le=8)] | None,
        Option("Factor on all channels; default by image size"),
    ] = None

    @property
    def table_file(self) -> str | None:
        """The file of `--space table:FILE`, a table of known results; None for a space of networks."""
        return self.space.removeprefix(_TABLE) if self.space.startswith(_TABLE) else None


_TABLE = "table:"


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


Steps = Annotated[int, Interval(ge=0, le=10_000_000)]
Epochs = Annotated[int, Interval(ge=1, le=10_000)]


@dataclass(frozen=True, kw_only=True)
class EvaluationOptions:
    """How `hwnas search` learns how good an architecture is."""

    objectives: Annotated[
        Annotated[tuple[Text, ...], Len(0, 8), Named("objective")],
        Option(
            "What the front is of, repeatable; default val_accuracy and latency_ms, and with shared weights "
            "macs and peak_memory_mb",
            repeated="objective",
        ),
    ] = ()
    prefer: Annotated[
        str | None,
        ReadAs(Literal["accuracy", "balance", "latency"] | None),
        Option(
            "Which pick is chosen, and where strategy bo looks more closely: accuracy, balance or latency; "
            "default the most accurate one, and the whole front"
        ),
    ] = None
    evaluator: Annotated[
        Text,
        Named("evaluator"),
        Option("How architectures are scored: short-training (real ones) or shared-weights (of a supernet)"),
    ] = "short-training"
    evaluations: Annotated[
        Count | None, Option("Architectures to evaluate; default 14, or what --minutes allow")
    ] = None
    eval_epochs: Annotated[
        Epochs | None, Option("Epochs of a short training; default at least 300 steps")
    ] = None
    eval_start: Annotated[
        str,
        ReadAs(Literal["fresh", "supernet"]),
        Option("Weights of a short training: fresh, or those of the supernet"),
    ] = "fresh"
    proxies: Annotated[
        bool, Option("Let the surrogate of strategy bo see zero-cost proxies of architectures too")
    ] = False
    ignore_stored: Annotated[
        bool, Option("Begin the search without the evaluations that earlier ones left in the data home")
    ] = False


@dataclass(frozen=True, kw_only=True)
class StepOptions(HistoryOptions, EvaluationOptions):
    """How `hwnas search` searches: a front, and before it shared weights and a gradient search."""

    method: MethodName = "proxyless"
    supernet_steps: Annotated[
        Steps | None,
        Option("Training steps of shared weights; default 0, or 500 with --evaluator shared-weights"),
    ] = None
    search_steps: Annotated[
        Steps | None,
        Option("Steps of a gradient search over them; default 0, or 100 with --evaluator shared-weights"),
    ] = None
    strategy: Annotated[
        Text | None,
        Named("strategy"),
        Option("How the front is searched, see `hwnas strategies`; default bo, nsga2 over shared weights"),
    ] = None
    strategy_options: Annotated[
        Annotated[tuple[Text, ...], Len(0, 16)],
        Option(
            "Option NAME=VALUE of the strategy, repeatable, see `hwnas strategies show`; default as listed",
            repeated="strategy_option",
        ),
    ] = ()
    population: Annotated[
        Annotated[int, Interval(ge=1, le=10_000)] | None,
        Option("Architectures that the strategy proposes at a time; default by strategy and --workers"),
    ] = None
    generations: Annotated[
        Annotated[int, Interval(ge=1, le=10_000)] | None,
        Option("How often the strategy proposes and learns, in place of --evaluations"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class FinalTrainingOptions:
    """What `hwnas search` trains at the end."""

    topic: ClassVar[str] = "Training of the picks"

    continue_from: Annotated[
        Place,
        Option(
            "Train the networks of this finished search on, from their weights, in a new run; with "
            "--train-epochs or --minutes"
        ),
    ] = None

    picks: Annotated[
        Annotated[int, Interval(ge=1, le=50)] | None,
        Option("Networks of the front to train, export and measure; default 5, or what --minutes allow"),
    ] = None
    random_baselines: Annotated[
        Annotated[int, Interval(ge=0, le=50)] | None,
        Option("Random networks trained beside the picks; default 2, or what --minutes allow"),
    ] = None
    recipe: Annotated[
        str,
        ReadAs(Literal["standard", "strong"]),
        Option("How they are trained: standard, or strong (regularised, and twice as long)"),
    ] = "standard"
    train_epochs: Annotated[
        Epochs | None,
        Option("Epochs that each of them is trained for after its short training; default by the images"),
    ] = None
    batch_size: Annotated[
        Annotated[int, Interval(ge=2, le=8192)] | None,
        Option("Images per training step; default by the number of images"),
    ] = None


@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """How much time and how many processes a run takes."""

    topic: ClassVar[str] = "Time and machine"

    workers: Annotated[
        Annotated[int, Interval(ge=1, le=256)] | None,
        Option("Training processes; default one per core", free=True),
    ] = None
    cluster: Annotated[
        Text | None,
        Option("Train on a Dask cluster: tls://HOST:PORT of its scheduler, or a TOML file", free=True),
    ] = None
    minutes: Annotated[
        Annotated[float, Interval(gt=0, le=100_000)] | None,
        Option(
            "What the whole search may take, as a promise: counts that are not given are made to fit",
            free=True,
        ),
    ] = None


@dataclass(frozen=True, kw_only=True)
class RecordOptions:
    """Where others can follow a run."""

    topic: ClassVar[str] = "Files"

    storage: Annotated[
        Text | None,
        Option("Also record the trials in this PostgreSQL database, for optuna-dashboard", free=True),
    ] = None


@dataclass(frozen=True, kw_only=True)
class TrainingDeviceOptions:
    """Where networks are trained, and from which seed."""

    topic: ClassVar[str] = "Time and machine"

    seed: Annotated[Annotated[int, Interval(ge=0, le=2**32 - 1)], Option("Seed of everything random")] = 0
    device: Annotated[str, ReadAs(Literal["cpu", "cuda"]), Option("Where to train, cpu or cuda")] = "cpu"


@dataclass(frozen=True, kw_only=True)
class SpeedOptions(TrainingDeviceOptions):
    """The same, and how a gradient search computes."""

    bf16: Annotated[bool, Option("Gradient search in bfloat16, with --device cuda")] = False
    compile: Annotated[bool, Option("Gradient search with compiled cells (torch.compile)")] = False


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
