"""The options that `hwnas search` alone has, in groups; those of other runs too: `options`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval, Len

from .definition import Named, Option, ReadAs
from .options import (
    Count,
    Epochs,
    HistoryOptions,
    ImageOptions,
    Images,
    MethodName,
    Place,
    ProfileOptions,
    SpaceName,
    Text,
)

Steps = Annotated[int, Interval(ge=0, le=10_000_000)]
_TABLE = "table:"


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """What is learned of samples, and how they and their labels are read."""

    topic: ClassVar[str] = ImageOptions.topic

    labels: Annotated[
        Text | None, Option("CSV of file names and labels, where --data has no class folders")
    ] = None
    task: Annotated[
        Text,
        Named("task"),
        Option(
            "What is learned: classification (a class per image), multi-label (tags), regression "
            "(numbers), segmentation (masks), detection (boxes), language (what follows in a text)"
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

    report_by: Annotated[
        Annotated[tuple[Text, ...], Len(0, 16)],
        Option(
            "Column of the CSV, as camera or site, by whose values the results are told apart, repeatable; "
            "that of --group-column always is",
            repeated="report-by",
        ),
    ] = ()

    window: Annotated[
        Annotated[int, Interval(ge=16, le=16_384)] | None,
        Option(
            "Samples of a window, into which recordings of sensors in a CSV are cut; of a text, symbols that "
            "are read in one piece"
        ),
    ] = None
    hop: Annotated[
        Count | None, Option("Samples from one window to the next; default --window, without overlap")
    ] = None

    tokens: Annotated[
        Text | None,
        Option(
            "Symbols of a text: characters (the default), or words, of which the 2,000 most frequent count"
        ),
    ] = None
    clip_seconds: Annotated[
        Annotated[float, Interval(ge=0.2, le=60)] | None,
        Option("Length of sounds: longer ones are cut, shorter ones padded; default as they suggest"),
    ] = None

    @property
    def label_options(self) -> dict[str, Any]:
        """What `load_data` and `inspect_data` are told of them, as JSON values; defaults are left out."""
        known = {
            "labels_csv": self.labels,
            "task": None if self.task == LabelOptions.task else self.task,
            "label_columns": list(self.label_columns),
            "group_column": self.group_column,
            "report_by": list(self.report_by),
            "window": self.window,
            "hop": self.hop,
            "tokens": self.tokens,
            "clip_seconds": self.clip_seconds,
        }
        return {name: value for name, value in known.items() if value}


@dataclass(frozen=True, kw_only=True)
class LabelledImageOptions(ImageOptions, LabelOptions):
    """Images of `hwnas search`: by the name of a data set, or a folder of them."""

    data: Annotated[Images, Named("data")] = "scenes"


@dataclass(frozen=True, kw_only=True)
class PartsOptions:
    """Images that stay where they are."""

    topic: ClassVar[str] = ImageOptions.topic

    federated: Annotated[
        Place,
        Option(
            "TOML file of parts of the data that stay where they are: federated averaging, in which --data "
            "gives classes, normalisation, validation and test (docs/research-paths.md); in a search with "
            "--evaluator shared-weights"
        ),
    ] = None


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
            "Which pick is chosen, and where strategies look more closely (random does not): accuracy, "
            "balance or latency; default the most accurate one, and the whole front"
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
    grown_data: Annotated[
        Text | None,
        Named("data"),
        Option(
            "With --continue-from: the images of that search and new ones; the earlier ones keep their "
            "split, and its networks are tested before and after"
        ),
    ] = None

    picks: Annotated[
        Annotated[int, Interval(ge=1, le=50)] | None,
        Option(
            "Networks of the front to train, export and measure; default 7 (6 with shared weights), or what "
            "--minutes allow"
        ),
    ] = None
    random_baselines: Annotated[
        Annotated[int, Interval(ge=0, le=50)] | None,
        Option("Random networks trained beside the picks; default 2, or what --minutes allow"),
    ] = None
    recipe: Annotated[
        str,
        ReadAs(Literal["standard", "strong", "few"]),
        Option(
            "How they are trained: standard, strong (regularised, twice as long), or few (for few photos: "
            "cropped, recoloured and mixed, twice as long; compare it with standard)"
        ),
    ] = "standard"
    repeats: Annotated[
        Annotated[int, Interval(ge=0, le=100)] | None,
        Option(
            "Splits drawn anew on which the chosen network is trained and tested again, for an interval of "
            "its accuracy; 0 for none; default 5 under 50 images per class, else none"
        ),
    ] = None
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
    gpus: Annotated[
        Annotated[int, Interval(ge=1, le=64)] | None,
        Option("Train shared weights on so many CUDA devices of this machine, which share each batch"),
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
