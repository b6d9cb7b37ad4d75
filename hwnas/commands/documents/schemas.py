"""What the commands print with --json, as types: `hwnas schema COMMAND` gives their JSON schema.

The tests read real output by these types; a key that is not here is an error there.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from hwnas.runs.front_file import FrontPoint
from lut.devices.needs import Need

Accuracy = float | None


class _Document(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _OpenDocument(BaseModel):
    """Further keys may come."""

    model_config = ConfigDict(extra="allow")


class ContextDocument(_Document):
    """All that a latency depends on, and its hash."""

    hash: str
    facts: dict[str, Any]


class FailureDocument(_Document):
    """Why a file has no result, and the exit code that it would have alone."""

    error: str
    exit_code: int


class LayerDocument(_Document):
    """A kernel of a network; `share` is of the whole latency."""

    name: str
    op: str
    kind: str
    macs: int | None
    latency_ms: float
    source: str = Field(description="known, few samples, or unknown")
    share: float
    measured_ms: float | None


class KernelMeasurementDocument(_Document):
    """The network measured with --measure."""

    latency_ms: float
    half_split: float
    n: int
    kernels: int


class PredictedModelDocument(_Document):
    """What a network costs by the profile; low_ms to high_ms holds nine of ten."""

    latency_ms: float
    low_ms: float
    high_ms: float
    overhead_ms: float
    macs: int
    not_counted: list[str] = Field(description="operators whose work is not in macs")
    notes: list[str]
    file_bytes: int
    peak_memory_bytes: int | None
    kernels_from: str = Field(description="target, or layout rule")
    unknown: dict[str, int] = Field(description="kinds of kernels that were never profiled")
    few: dict[str, int] = Field(description="kinds with few samples, and how many")
    layers: list[LayerDocument]
    measured: KernelMeasurementDocument | None


class ProfileFactsDocument(_Document):
    """Of the profile that predicts."""

    date: str
    device_s: float
    errors: dict[str, Any]
    state: str = Field(description="ok, partial: N of M networks, noisy")
    notes: list[str]


class PredictTargetDocument(_Document):
    """Predictions for one target, models by the path that was given."""

    target: dict[str, Any]
    context: ContextDocument
    profile: ProfileFactsDocument
    models: dict[str, PredictedModelDocument]
    failed: dict[str, FailureDocument]


class PredictTargetsDocument(_Document):
    """Of several --target."""

    targets: list[PredictTargetDocument]


class BenchModelDocument(_OpenDocument):
    """Measured latency; with them `memory` and `energy` where they were measured."""

    p20_ms: float
    p50_ms: float
    p90_ms: float
    ci_low_ms: float
    ci_high_ms: float
    clock: str
    flag: str
    reason: str = Field(description="why it is unstable; empty where flag is ok")
    n: int
    notes: list[str]


class BenchTargetDocument(_Document):
    """Measurements on one target, models by the path that was given."""

    target: dict[str, Any]
    context: ContextDocument
    date: str
    int8: dict[str, Any] | None
    models: dict[str, BenchModelDocument]
    failed: dict[str, FailureDocument]


class BenchTargetsDocument(_Document):
    """Of several --target."""

    targets: list[BenchTargetDocument]


class FrontDocument(_OpenDocument):
    """The networks of a finished search."""

    points: list[FrontPoint]


class VerdictFinding(_Document):
    """One thing to know of a run, and what to do; `code` is its name for programs."""

    level: Literal["bad", "warn", "good"]
    code: str
    sentence: str
    advice: str


class SearchDocument(_Document):
    """The run folder, what to think of the run (the worst first), and front.json."""

    run: str
    verdict: list[VerdictFinding]
    front: FrontDocument


class RankDocument(_OpenDocument):
    """What a finished search knows, ranked for another device; `front` is a part of `networks`."""

    run: str
    target: str
    budgets: list[dict[str, Any]]
    front: list[dict[str, Any]]
    networks: list[dict[str, Any]]
    chosen: str | None


class MergeDocument(_OpenDocument):
    """The trained networks of several searches, and the front of them all."""

    runs: list[str]
    devices: list[str]
    front: list[dict[str, Any]]
    networks: list[dict[str, Any]]


class TrainDocument(_OpenDocument):
    """A trained network, and what it costs; of other tasks than classes `val_r2` and the like."""

    architecture: str
    val_accuracy: Accuracy = None
    test_accuracy: Accuracy = None
    macs: float
    params: float
    epochs: int
    folder: str
    onnx: str


class ExportDocument(_OpenDocument):
    """manifest.json of the files, and their folder."""

    folder: str
    variants: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    findings: list[str]
    measured: dict[str, Any]


class ShrinkDocument(_OpenDocument):
    """front.json of `hwnas shrink`, and the folder: the network as it was, and a narrower one per budget."""

    folder: str
    task: str
    chosen: str
    points: list[FrontPoint]


class StageDocument(_Document):
    """A stage of a run."""

    name: str
    does: str
    state: str = Field(description="done, under way, or to do")
    finished: str | None


class UnderWayDocument(_Document):
    """The stage under way, or where a stopped run is; left_s is of this stage."""

    stage: str
    does: str
    number: int
    of: int
    part: str
    done: int
    total: int
    share: float | None
    elapsed_s: float
    left_s: float | None
    saved_step: int | None


class StatusDocument(_Document):
    """Where a run stands."""

    run: str
    kind: str
    state: str = Field(description="running, stopped, or done")
    in_use_by: str | None
    stages: list[StageDocument]
    under_way: UnderWayDocument | None
    models: list[str]
    report: str | None
    next: str
    config: dict[str, Any]


class DoctorDocument(_Document):
    """What this machine has; a search can run where `problems` is empty."""

    versions: dict[str, str | None]
    machine: dict[str, Any]
    onnxruntime_providers: list[str]
    cuda_devices: int
    home: str
    problems: list[str]
    warnings: list[str]
    verdict: str


class DataDocument(_Document):
    """A data set as a search will see it."""

    name: str
    n_images: int
    image_size: int
    in_channels: int
    kind: str
    memory_mb: float
    n_outputs: int
    splits: dict[str, int]
    classes: dict[str, dict[str, int]]
    counted: str
    given_splits: list[str]
    cut: str
    broken: dict[str, str]
    copies: int
    told_by: dict[str, int]
    images_per_class: float
    in_two_classes: list[tuple[str, str]]
    notes: list[str]
    problems: list[str]


class TableRowDocument(_OpenDocument):
    """A table or predictor under the home."""

    table: str
    state: str
    date: str | None = None
    mape_pct: float | None = None


class TableFactsDocument(_OpenDocument):
    """What a table or predictor covers, its errors and its context."""

    target: str
    date: str
    state: str = Field(description="ok, partial: N of M networks, noisy")
    errors: dict[str, Any]
    context: ContextDocument


class ProfileFailureDocument(_Document):
    """A device of several that has no profile now."""

    target: str
    failure: str
    exit_code: int


class ProfileTargetsDocument(_Document):
    """Of several --target."""

    targets: list[TableFactsDocument | ProfileFailureDocument]


class ArchiveDocument(_Document):
    """An archive that was written."""

    table: str
    file: str
    size_bytes: int


class TargetDocument(_OpenDocument):
    """The description of a device."""

    name: str
    provider: str
    threads: int
    precision: str
    reach: dict[str, Any]


class CheckDocument(_Document):
    """What a device has of what measuring needs."""

    target: TargetDocument
    usable: bool
    needs: list[Need]
    measured: BenchTargetDocument | None


class SpaceDocument(_Document):
    """A search space."""

    space: str
    choices: int
    architectures: str
    about: str


class MethodDocument(_OpenDocument):
    """The parts of a gradient search method."""

    name: str
    title: str
    paper: str
    parts: str


class StrategyDocument(_Document):
    """A strategy of the discrete search, and its options with their defaults."""

    name: str
    title: str
    options: dict[str, Any]
    paper: str


class StrategyFactsDocument(StrategyDocument):
    """The same, and what the options mean."""

    about: str


PRINTED: dict[str, Any] = {
    "search": SearchDocument,
    "train": TrainDocument,
    "export": ExportDocument,
    "shrink": ShrinkDocument,
    "status": StatusDocument,
    "rank": RankDocument,
    "front merge": MergeDocument,
    "profile": TableFactsDocument | ProfileTargetsDocument,
    "predict": PredictTargetDocument | PredictTargetsDocument,
    "bench": BenchTargetDocument | BenchTargetsDocument,
    "doctor": DoctorDocument,
    "data check": DataDocument,
    "targets list": list[TargetDocument],
    "targets show": TargetDocument,
    "targets check": CheckDocument,
    "tables list": list[TableRowDocument],
    "tables show": TableFactsDocument,
    "tables export": ArchiveDocument,
    "tables import": TableRowDocument,
    "spaces": list[SpaceDocument],
    "methods": list[MethodDocument],
    "methods show": MethodDocument,
    "strategies": list[StrategyDocument],
    "strategies show": StrategyFactsDocument,
}
"""Command -> the type of its document."""


def adapter(command: str) -> TypeAdapter[Any]:
    """What reads and describes the document of a command."""
    return TypeAdapter(PRINTED[command])


def schema_of(command: str) -> dict[str, Any]:
    """The JSON schema of the document that the command prints with --json."""
    schema = adapter(command).json_schema()
    return {"$schema": _DRAFT, **schema, "title": f"hwnas {command} --json"}


_DRAFT = "https://json-schema.org/draft/2020-12/schema"
