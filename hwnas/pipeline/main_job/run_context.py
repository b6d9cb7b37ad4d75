"""What the stages of a run share, read lazily from the files that earlier stages left."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file

from hwnas import supernets
from hwnas.core.budget import LATENCY, RATIO, Budget, base_metric, latency_metrics
from hwnas.core.choice import Arch
from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.data import Augment, Batches, Data, load_data
from hwnas.data.identity import data_identity
from hwnas.evaluators.shared_weights import SharedWeights
from hwnas.executors import Executor, LocalExecutor
from hwnas.federated.calls import Parts
from hwnas.pipeline.counts import Counts, epochs_by_fidelity, evaluator_of, search_batch_size
from hwnas.pipeline.federated_training import FederatedOptions, federated_options
from hwnas.pipeline.forecast import Work
from hwnas.pipeline.image_sizes import affordable_size
from hwnas.pipeline.latency_tables import TargetDevice, find_devices
from hwnas.pipeline.scores import score_name, scored
from hwnas.pipeline.speed import Speed
from hwnas.pipeline.stages import Outcome
from hwnas.runs.config import SearchConfig
from hwnas.runs.run_dir import RunDir
from hwnas.runs.search_run import stored_config
from hwnas.spaces import load_space
from hwnas.supernets import Supernet
from hwnas.tasks import CLASSIFICATION
from hwnas.training.tasks import data_task
from lut.home import data_home
from targets.errors import UsageError
from targets.files import read_json, write_json
from targets.int8_form import Int8Form

from .candidate import Candidate
from .clock import Decisions, WorkClock
from .devices import OTHERS, RunDevice, burden, measure, run_costs

if TYPE_CHECKING:
    from hwnas.executors.dask_executor import DaskExecutor

SMALL_PX = 48
"""Up to this image side a second thread costs more CPU time than it saves wall time."""

EVAL_IMAGES = 2000
"""Validation images that score an architecture: a standard error of 0.9 points at 80 %, the same for all."""


class RunContext:
    """A run and everything that can be derived from its configuration and finished stages."""

    def __init__(self, run: RunDir) -> None:
        """Run: locked by the caller."""
        self.run = run
        self.clock = WorkClock(run.path / "clock.json")
        self._opened = ExitStack()

    @cached_property
    def decisions(self) -> Decisions:
        """Counts that were planned again."""
        return Decisions(self.path / "decisions.json")

    @cached_property
    def config(self) -> SearchConfig:
        """The options of the search."""
        return stored_config(self.run.identity, self.run.path)

    @property
    def path(self) -> Path:
        """The run directory."""
        return self.run.path

    @cached_property
    def home(self) -> Path:
        """Where tables and data sets live."""
        return data_home(self.config.home)

    def result(self, stage: str) -> dict[str, Any]:
        """What a finished stage answered."""
        return self.run.result(stage)

    @cached_property
    def picks(self) -> list[Candidate]:
        """The candidates that are trained, the fastest first."""
        return [Candidate.from_json(entry) for entry in self.result("candidates")["picks"]]

    @cached_property
    def image_size(self) -> int | None:
        """As the user wants it, or as the time allows; None once splits.json knows it."""
        if self.config.image_size is not None or (self.path / "splits.json").exists():
            return self.config.image_size
        return affordable_size(self.config, self.home, self.n_workers, self.run.log)

    @cached_property
    def data(self) -> Data:
        """The images, split as splits.json says."""
        stored = self.path / "splits.json"
        config = self.config
        data = load_data(
            config.data,
            self.image_size,
            config.seed,
            root=self.home,
            **config.label_options,
            download=config.download,
            skip_broken=config.skip_broken,
            splits=read_json(stored, "the splits of the run") if stored.exists() else None,
            log=self.run.log,
            progress=self.run.progress,
        )
        return scored(data, config)

    @property
    def score(self) -> str:
        """What trainings call the score that this search goes by."""
        return score_name(self.data.task)

    @cached_property
    def found_devices(self) -> list[TargetDevice]:
        """The devices as the options name them, the first one first."""
        return find_devices(self.config.targets, self.home)

    @cached_property
    def devices(self) -> list[RunDevice]:
        """The devices with their tables, once table.json is there."""
        metrics = latency_metrics([device.name for device in self.found_devices])
        tables = [self.table, *self.table.get(OTHERS, {}).values()]
        return [
            RunDevice(name=device.name, metric=metric, target=device.target, table=table)
            for device, metric, table in zip(self.found_devices, metrics, tables, strict=True)
        ]

    @property
    def burdens(self) -> list[str]:
        """The metrics that say how heavy an architecture is: its latencies, else its MACs."""
        known = [device.metric for device in self.devices if device.metric in self.costs.metrics]
        return known or ["macs"]

    @property
    def device(self) -> RunDevice:
        """The first of them, which the files are made for."""
        return self.devices[0]

    @cached_property
    def form(self) -> Int8Form | None:
        """Of the 8-bit networks that the first device runs; None where it runs others."""
        return self.device.form

    @cached_property
    def form_json(self) -> dict[str, Any] | None:
        """The same for training jobs, which score what the device runs."""
        return None if self.form is None else asdict(self.form)

    @cached_property
    def space(self) -> NetworkSpace:
        """The search space at the scale of the data."""
        return load_space(
            self.config.space,
            width_mult=self.config.width_mult,
            front=self.data.front_key,
            **self.network_shape,
        )

    @property
    def network_shape(self) -> dict[str, Any]:
        """What networks are built for, as options of `load_space` and of baselines."""
        return self.data.network_shape

    @cached_property
    def input_shape(self) -> tuple[int, int, int, int]:
        """(batch, c, h, w) of what networks take."""
        return (self.config.batch, *self.data.sample_shape)

    @cached_property
    def table(self) -> dict[str, Any]:
        """table.json of the run: blocks, errors, context of the first device, and those of the others."""
        document: dict[str, Any] = read_json(self.path / "table.json", "the latency table of the run")
        return document

    @cached_property
    def costs(self) -> CostModel:
        """Costs of the space on the devices."""
        return run_costs(self.space, self.table)

    @cached_property
    def search_costs(self) -> CostModel:
        """The same as objectives of the front want them: with the worst share of a budget where it is one."""
        limits_ms = {b.metric: b.limit for b in self.budgets if base_metric(b.metric) == LATENCY}
        return self.costs.relative_to(limits_ms) if RATIO in self.config.objectives else self.costs

    @cached_property
    def budgets(self) -> tuple[Budget, ...]:
        """What the user asked for, or the default."""
        return tuple(Budget.parse(b) for b in self.result("plan")["budgets"])

    @cached_property
    def search_budgets(self) -> tuple[Budget, ...]:
        """The same, with the latency tightened by the error of the table."""
        return tuple(Budget.parse(b) for b in self.result("plan")["search_budgets"])

    @property
    def counts(self) -> Counts:
        """How much of everything, as it was planned last."""
        return Counts.from_json({**self.result("plan")["counts"], **self.decisions.counts})

    @property
    def eval_epochs(self) -> tuple[int, ...]:
        """After how many epochs architectures are scored; the last is the one that counts."""
        return epochs_by_fidelity(self.config, self.counts.eval_epochs)

    @property
    def trains(self) -> bool:
        """Whether architectures are scored by trainings, which the final ones go on from."""
        return evaluator_of(self.config).trains

    @cached_property
    def work(self) -> Work:
        """What is trained and how fast, as it was measured for the plan."""
        document = self.result("plan")["work"]
        return Work(**{**document, "speed": Speed(**document["speed"])})

    def batches(self, split: str, stream: int, *, augmented: bool) -> Batches:
        """Training batches. stream: as of `batch_seed`."""
        augment = Augment.for_data(self.data) if augmented else None
        size, seed = search_batch_size(self.config), self.batch_seed(stream)
        return Batches(self.data, split, size, seed, augment, self.config.device)

    def batch_seed(self, stream: int) -> int:
        """Of the batches of a stage; stream keeps the stages apart."""
        return self.config.seed * 16 + stream

    @cached_property
    def supernet(self) -> Supernet:
        """The trained shared weights."""
        net = supernets.make(self.space)
        net.load_state_dict(load_file(self.path / "supernet.safetensors"))
        return net.to(self.config.device).to(memory_format=torch.channels_last)

    @cached_property
    def shared_weights(self) -> SharedWeights:
        """Accuracy by the shared weights, costs by the tables."""
        return SharedWeights.on(
            self.data,
            self.supernet,
            self.search_costs,
            seed=self.config.seed,
            validation_images=EVAL_IMAGES,
            device=self.config.device,
            form=self.form,
        )

    @property
    def n_threads(self) -> int:
        """Torch's threads in the searches: small images keep one core busy, and two wait for each other."""
        return 1 if self.data.area <= SMALL_PX**2 else os.cpu_count() or 1

    @property
    def n_workers(self) -> int:
        """Trainings side by side: as many as the cluster or the machine can do, unless told."""
        if self.config.workers is not None:
            return self.config.workers
        return self.cluster.n_workers if self.cluster else os.cpu_count() or 1

    @cached_property
    def cluster(self) -> DaskExecutor | None:
        """The cluster that trains, until `close`; None where this machine does."""
        if self.config.cluster is None:
            return None
        from hwnas.executors.cluster_file import find_cluster
        from hwnas.executors.clusters import open_cluster

        executor = self._opened.enter_context(
            open_cluster(find_cluster(self.config.cluster), self.run.log.warn)
        )
        self.run.log(f"trainings go to {executor.address}, {executor.n_workers} at a time")
        return executor

    @cached_property
    def checked_cluster(self) -> DaskExecutor | None:
        """The same, once its workers have shown that they have the images of the run, or hold its parts."""
        if self.cluster is not None and self.federated is None:
            identity = {k: v for k, v in data_identity(self.data).items() if k != "name"}
            probe = data_task(self.job_data, self.path)
            self.cluster.require({"data": identity, "folder": str(Path.cwd())}, probe)
        return self.cluster

    @cached_property
    def federated(self) -> FederatedOptions | None:
        """The parts of the data, where they stay where they are; UsageError where they are others by now."""
        options = federated_options(self.config)
        if options is None:
            return None
        stored, now = self.path / "federation.json", options.federation.identity()
        if not stored.exists():
            write_json(stored, now)
        elif read_json(stored, "the parts of the run") != now:
            raise UsageError(
                f"{self.config.federated} names other parts than when this run began (min_parts and wait_s "
                "may change); put them back, or search anew"
            )
        return options

    def parts(self, executor: Executor) -> Parts:
        """The parts, as `executor` reaches them."""
        assert self.federated is not None  # else nobody asks them
        own = self.data.task.scored_by(
            CLASSIFICATION.metric.name
        )  # trainings tell all scores, by their names
        return self.federated.parts(
            replace(self.data, task=own), self.config.seed, self.home, executor, self.run.log.warn
        )

    @property
    def job_data(self) -> dict[str, Any]:
        """The images as a training job names them."""
        config = self.config
        data: dict[str, Any] = {
            "spec": config.data,
            "image_size": self.data.image_size,
            "seed": config.seed,
            "root": str(self.home),
            "splits_file": str((self.path / "splits.json").resolve()),
        }
        return data | config.label_options

    @contextmanager
    def executor(self) -> Iterator[Executor]:
        """What does the trainings of a stage."""
        if self.checked_cluster is not None:
            yield self.checked_cluster
            return
        with LocalExecutor(self.n_workers, self.run.log.warn) as executor:
            yield executor

    def close(self) -> None:
        """Let the cluster go."""
        self._opened.close()

    def archs(self, keys: Sequence[str]) -> list[Arch]:
        """Architectures from their strings."""
        return [self.space.from_string(k) for k in keys]

    def measure(
        self, files: Mapping[str, Path | bytes], costs: Mapping[str, Mapping[str, float]]
    ) -> dict[str, dict[str, dict[str, Any]]]:
        """Latencies per network and metric of a device, each as the device runs it (`devices.measure`)."""
        return measure(self.devices, files, costs, home=self.home, log=self.run.log)

    def burden(self, costs: Mapping[str, float]) -> float:
        """What picks are spread over (`devices.burden`)."""
        return burden(costs, self.budgets, self.devices)

    def costs_of(self, archs: Sequence[Arch]) -> list[dict[str, float]]:
        """All costs of each architecture."""
        costs = self.costs.of(archs)
        return [{m: float(v[i]) for m, v in costs.items()} for i in range(len(archs))]


def left_out(context: RunContext, why: str) -> Outcome:
    """The outcome of a stage that this run does without."""
    context.run.log(f"left out: {why}")
    return Outcome({"left_out": why})
