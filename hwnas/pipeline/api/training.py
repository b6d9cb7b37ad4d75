"""One architecture trained from scratch as the papers do: resumable, tested once, exported."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hwnas.core.choice import Arch
from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.data import Data, eval_batches
from hwnas.exporting.export import export_model, open_model
from hwnas.genotype import read_genotype, write_genotype
from hwnas.networks.cells import CellNetwork
from hwnas.pipeline.preflight import check_device
from hwnas.pipeline.search_history.alphas import arch_at, read_alphas
from hwnas.pipeline.search_history.drawings import best_form, drawings
from hwnas.runs.log import Log
from hwnas.spaces.darts import DartsSpace, is_large
from hwnas.training.recipe import Recipe
from hwnas.training.train import eval_batch, score
from hwnas.training.training_job import Job, Trained, read_result, run_job
from lut.home import data_home
from targets.errors import UsageError

from .alphas import decoder_of
from .folder import folder_of
from .names import data_spec, open_data, space_name
from .results import TrainedArchitecture
from .searching import space_for


@dataclass(frozen=True, kw_only=True)
class Training:
    """What is trained, on what, how.

    architecture: a genotype in any form. alphas, epoch: instead of it, alphas.npz of a search and the epoch,
    counted from 1 (None: the last). method: whose decoding reads the alphas (None: that of the run they lie
    in; where they lie in none, the most probable architecture counts). cells, channels: of the deployed
    network of a cell space; None: as published. recipe: None takes `Recipe.evaluation`, above 64 px
    `evaluation_large`. The other fields are those of `Searcher`.
    """

    architecture: str | None = None
    alphas: str | Path | None = None
    epoch: int | None = None
    method: str | None = None
    search_space: str = "darts"
    dataset: str = "cifar10"
    epochs: int = 600
    batch_size: int = 96
    recipe: Recipe | None = None
    cells: int | None = None
    channels: int | None = None
    image_size: int | None = None
    path: str | Path | None = None
    limit: int | None = None
    download: bool = False
    seed: int = 0
    device: str = "cpu"
    home: str | Path | None = None
    out: str | Path | None = None
    quiet: bool = True

    def __post_init__(self) -> None:
        if (self.architecture is None) == (self.alphas is None):
            raise UsageError("give either a genotype or the alphas of a search to train an architecture of")
        if self.alphas is None and (self.epoch is not None or self.method is not None):
            raise UsageError("an epoch chooses among alphas, and a method decodes them; give the alphas too")

    def read(self, space: NetworkSpace) -> Arch:
        """The architecture, in `space`."""
        if self.alphas is not None:
            decode = decoder_of(Path(self.alphas), self.method)
            return arch_at(space, read_alphas(Path(self.alphas), space), self.epoch, decode)
        return space.canonical(read_genotype(space, self.architecture or ""))


@dataclass(frozen=True)
class Prepared:
    """A training whose architecture, images and recipe are known to fit."""

    space: NetworkSpace
    arch: Arch
    data: Data
    job: Job

    def document(self) -> dict[str, Any]:
        """What would be trained, as JSON values."""
        return {
            "architecture": write_genotype(self.space, self.arch, best_form(self.space)),
            "key": self.space.key(self.arch),
            "costs": self.costs(),
            "job": asdict(self.job),
        }

    def costs(self) -> dict[str, float]:
        """Of the deployed network, but for the latency."""
        return {m: float(v[0]) for m, v in CostModel(self.space).of([self.arch]).items()}


def prepare(asked: Training) -> Prepared:
    """Check everything that can be wrong before a folder is made."""
    check_device(asked.device)
    home = data_home(asked.home)
    data = open_data(
        asked.dataset, asked.path, asked.image_size, asked.seed,
        home=home, limit=asked.limit, download=asked.download,
    )  # fmt: skip
    space = space_for(space_name(asked.search_space), data, cells=asked.cells, channels=asked.channels)
    arch = asked.read(space)
    if not space.reads_image(arch):
        raise UsageError(
            f"{space.key(arch)}: in this network of {space.name} the image does not reach the classifier: "
            "there is nothing to train; choose another architecture"
        )
    return Prepared(space, arch, data, _job(asked, space, arch, data, home))


def train_architecture(asked: Training) -> TrainedArchitecture:
    """Train, export and test; what an earlier call of the same question did is not done again."""
    found, log = prepare(asked), Log(quiet=asked.quiet)
    space, arch, job = found.space, found.arch, found.job
    question = {"job_sha256": job.digest(), "network": job.network, "recipe": job.recipe, "seed": job.seed}
    with folder_of(question, f"train-{space.name}-{space.arch_id(arch)}", asked.out) as folder:
        log(f"training in {folder}; the same command goes on there after a stop")
        trained = read_result(job, folder) or _train(job, folder, log)
        test_accuracy = _export(trained, space, arch, found.data)
    return TrainedArchitecture(
        architecture=write_genotype(space, arch, best_form(space)),
        key=space.key(arch),
        val_accuracy=trained.val_accuracy,
        test_accuracy=test_accuracy,
        costs=found.costs(),
        epochs=len(trained.epochs),
        folder=trained.folder,
    )


def _job(asked: Training, space: NetworkSpace, arch: Arch, data: Data, home: Path) -> Job:
    published = Recipe.evaluation_large if is_large(data.image_size) else Recipe.evaluation
    recipe = asked.recipe or published(asked.epochs, asked.batch_size)
    recipe = replace(recipe, batch_size=min(recipe.batch_size, len(data.split("train"))))
    network: dict[str, Any] = {"space": space.spec(), "arch": space.to_string(arch)}
    if recipe.auxiliary and isinstance(space, DartsSpace):
        network["auxiliary"] = True
    spec: dict[str, Any] = {
        "spec": data_spec(asked.dataset, asked.path),
        "image_size": data.image_size,
        "seed": asked.seed,
        "root": str(home),
        "limit": asked.limit,
    }
    return Job(space.arch_id(arch), network, spec, asdict(recipe), asked.seed, asked.device)


def _train(job: Job, folder: Path, log: Log) -> Trained:
    with log.progress(f"training {job.job_id}", 100) as bar:
        told = [0]

        def on_step(done: int, total: int) -> None:
            now = 100 * done // total
            bar.advance(now - told[0])
            told[0] = now

        return run_job(job, folder, on_step=on_step, log=log.warn)


def _export(trained: Trained, space: NetworkSpace, arch: Arch, data: Data) -> float:
    """Write `model/` unless it is there; the accuracy on the test split, read once."""
    folder, key = trained.folder / "model", "test_accuracy"
    if (folder / "manifest.json").exists():
        return float(open_model(folder).manifest[key])
    module = trained.module()
    if isinstance(module, CellNetwork):
        module.auxiliary = None  # for training only
    accuracy, _ = score(module, eval_batches(data, "test", eval_batch(data.image_size)))
    network = {k: v for k, v in trained.job.network.items() if k != "auxiliary"}
    export_model(
        module,
        data,
        folder,
        arch_id=space.arch_id(arch),
        network=network,
        dot=drawings(space, arch, space.arch_id(arch))["dot"],
        costs={name: float(values[0]) for name, values in CostModel(space).of([arch]).items()},
        facts={"val_accuracy": trained.val_accuracy, key: accuracy, "blocks": space.describe(arch)},
    )
    return accuracy
