"""`ArchitectureEvaluator`: the metrics of one architecture, each by what measures it best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from hwnas.runs.options import Device
from lut.home import data_home
from targets import Target
from targets.errors import UsageError, did_you_mean
from targets.files import safe_name

from .results import Evaluation
from .spellings import data_spec, space_name, target_named
from .training_options import TrainedNetworkOptions, TrainingOptions

if TYPE_CHECKING:
    from hwnas.core.choice import Arch
    from hwnas.core.network_space import NetworkSpace

COSTS = ("macs", "params", "size_mb", "peak_memory_mb")
METRICS = ("accuracy", "latency", "flops", *COSTS)


@dataclass(frozen=True, kw_only=True)
class ArchitectureEvaluator(TrainedNetworkOptions):
    """Trains for the accuracy, measures the latency, counts the rest.

    search_space: what the architectures are of. epochs, batch_size: of the training that an accuracy needs;
    a training that was done before is read, not repeated. out: where the folders of the trainings lie, one
    per architecture and dataset. The other fields are those of `Searcher`.
    """

    target_platform: Device = "host"

    def evaluate_architecture(
        self,
        architecture: str,
        dataset: str = "cifar10",
        metrics: Sequence[str] = ("accuracy", "latency", "flops", "params"),
        path: str | Path | None = None,
    ) -> Evaluation:
        """The metrics of an architecture; path: of the images, for data sets that need one (imagenet)."""
        from hwnas.costs.cost_model import CostModel
        from hwnas.genotype import read_genotype

        from .spellings import open_data, space_for

        for metric in metrics:
            if metric not in METRICS:
                raise UsageError(f"unknown metric {metric!r}; {did_you_mean(metric, METRICS)}")
        place = self.path if path is None else path
        data_spec(dataset, place)
        target = target_named(self.target_platform)
        data = open_data(
            dataset, place, self.image_size, self.seed,
            home=data_home(self.home), limit=self.limit, download=self.download, skip_broken=self.skip_broken,
        )  # fmt: skip
        space = space_for(space_name(self.search_space), data, cells=self.cells, channels=self.channels)
        arch = space.canonical(read_genotype(space, architecture))
        costs = {m: float(v[0]) for m, v in CostModel(space).of([arch]).items()}
        values: dict[str, float] = {m: costs[m] for m in COSTS if m in metrics}
        if "flops" in metrics:
            values["flops"] = 2 * costs["macs"]
        if "accuracy" in metrics:
            name = f"{data.name}-{space.arch_id(arch)}"
            values["accuracy"] = self._accuracy(architecture, dataset, place, name)
        if "latency" in metrics:
            values["latency_ms"] = self._latency_ms(space, arch, target)
        named = target.name if "latency" in metrics else None
        return Evaluation(architecture=architecture, dataset=dataset, target=named, **values)

    def _latency_ms(self, space: NetworkSpace, arch: Arch, target: Target) -> float:
        import lut
        from hwnas.runs.log import Log
        from lut.predictor.models.quantise import as_run

        from .networks import arch_onnx

        key, log = space.arch_id(arch), Log(quiet=self.quiet)
        files = {key: as_run(arch_onnx(space, arch), target)}
        return float(lut.measure(target, files, home=data_home(self.home), log=log)[key].p50_ms)

    def _accuracy(self, architecture: str, dataset: str, path: str | Path | None, name: str) -> float:
        from .single_training import train_architecture

        shared = {field.name: getattr(self, field.name) for field in fields(TrainedNetworkOptions)}
        out = None if self.out is None else Path(self.out) / safe_name(name)
        trained = train_architecture(
            TrainingOptions(
                **{**shared, "architecture": architecture, "dataset": dataset, "path": path, "out": out}
            )
        )
        return trained.test_accuracy
