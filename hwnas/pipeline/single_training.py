"""One architecture trained from scratch as the papers do: resumable, tested once, exported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from hwnas.core.choice import Arch
from hwnas.core.network_space import NetworkSpace
from hwnas.costs.cost_model import CostModel
from hwnas.data import Data, eval_batches
from hwnas.data.batches import check_shares
from hwnas.exporting.export import export_model, open_model
from hwnas.genotype import read_genotype, write_genotype
from hwnas.networks.cells import CellNetwork
from hwnas.pipeline.search_history.alphas import arch_at, read_alphas
from hwnas.pipeline.search_history.drawings import best_form, drawings
from hwnas.runs.identity import TRAINING, Identity
from hwnas.runs.log import Log
from hwnas.runs.run_dir import RunDir
from hwnas.runs.training_device import AUTO, CPU, on_found_device, require_amp, require_cards
from hwnas.spaces import load_space
from hwnas.spaces.darts import DartsSpace, is_large
from hwnas.tasks import CLASSIFICATION, outward
from hwnas.training.build import build_network
from hwnas.training.initial_weights import begin
from hwnas.training.presets import REGULARISED, changed, recipe_of
from hwnas.training.recipe import Recipe
from hwnas.training.start import start_weights
from hwnas.training.together import train_together
from hwnas.training.train import eval_batch, require_changes, score
from hwnas.training.training_job import Trained, TrainingJob, data_of, read_result, run_job
from lut.home import data_home
from targets.errors import DamagedFileError, UsageError

from .alphas_decoder import decoder_of
from .earlier_training import earlier_training, longer_job
from .federated_training import FederatedOptions, federated_options, train_on_parts
from .results import TrainedArchitecture
from .spellings import job_data, open_data, space_for, space_name
from .stages import Outcome, RunStage, run_stages
from .step_bar import step_bar
from .task_options import require_fitting
from .teachers import start_of, teacher_of
from .training_options import TrainingOptions


def read_architecture(
    options: TrainingOptions, space: NetworkSpace, warn: Callable[[str], None] = lambda text: None
) -> Arch:
    """The architecture that the options name, in `space`. warn: as of `read_alphas`."""
    if options.alphas is not None:
        decode = decoder_of(Path(options.alphas), options.method)
        return arch_at(space, read_alphas(Path(options.alphas), space, warn), options.epoch, decode)
    return space.canonical(read_genotype(space, options.architecture or ""))


@dataclass(frozen=True)
class Prepared:
    """A training whose architecture, images and recipe are known to fit."""

    space: NetworkSpace
    arch: Arch
    data: Data
    job: TrainingJob

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


def prepare(options: TrainingOptions) -> Prepared:
    """Check everything that can be wrong before a folder is made."""
    require_cards(options.device, options.gpus)
    if options.federated is not None and options.device == AUTO:
        options = replace(options, device=CPU)  # each part trains on its own
    options = on_found_device(options)
    require_amp(options.amp, options.device)
    if options.continue_from is not None:
        return _prepare_longer(Path(options.continue_from), options)
    home = data_home(options.home)
    data = open_data(
        options.dataset, options.path, options.image_size, options.seed,
        home=home, limit=options.limit, download=options.download, skip_broken=options.skip_broken,
        labels=options.label_options,
    )  # fmt: skip
    space = space_for(space_name(options.search_space), data, cells=options.cells, channels=options.channels)
    arch = read_architecture(options, space, Log(quiet=options.quiet).warn)
    if not space.reads_image(arch):
        raise UsageError(
            f"{space.key(arch)}: in this network of {space.name} the image does not reach the classifier: "
            "there is nothing to train; choose another architecture"
        )
    job = _job(options, space, arch, data, home)
    _check_start(job)
    check_shares(min(job.recipe["batch_size"], len(data.split("train"))), job.processes)
    return Prepared(space=space, arch=arch, data=data, job=job)


def _prepare_longer(place: Path, options: TrainingOptions) -> Prepared:
    """More epochs of what was trained at `place`."""
    job = longer_job(
        earlier_training(place), 600 if options.epochs is None else options.epochs, options.device
    )
    job = replace(job, processes=options.gpus or 1)
    if job.federated is not None:
        raise UsageError(
            f"{place} was trained on parts of the data that are elsewhere; give its own command with more "
            f"--epochs, and --start-from {place}"
        )
    data, space = data_of(job.data), load_space(**job.network["space"])
    check_shares(min(job.recipe["batch_size"], len(data.split("train"))), job.processes)
    return Prepared(space=space, arch=space.from_string(job.network["arch"]), data=data, job=job)


@dataclass(frozen=True)
class TrainingContext:
    """What the stages of a training share."""

    run: RunDir
    prepared: Prepared
    federated: FederatedOptions | None = None


def train_architecture(options: TrainingOptions) -> TrainedArchitecture:
    """Train, export and test; what an earlier call of the same training did is not done again."""
    prepared, log = prepare(options), Log(quiet=options.quiet)
    space, arch = prepared.space, prepared.arch
    identity = _identity(prepared.job)
    name = f"train-{space.name}-{space.arch_id(arch)}"
    path = identity.default_folder(name) if options.out is None else Path(options.out)
    with RunDir.enter(path, identity, log=log) as run:
        log(f"training in {path}; the same command goes on there after a stop")
        context = TrainingContext(run, prepared, federated_options(options))
        run_stages(STAGES, context)
        trained = _trained(context)
    return TrainedArchitecture(
        architecture=write_genotype(space, arch, best_form(space)),
        key=space.key(arch),
        val_accuracy=trained.val_accuracy,
        test_accuracy=run.result("export")["test_accuracy"],
        task=prepared.data.task.name,
        costs=prepared.costs(),
        epochs=len(trained.epochs),
        folder=trained.folder,
    )


def _identity(job: TrainingJob) -> Identity:
    values = {
        "job_sha256": job.digest(),
        "network": dict(job.network),
        "recipe": dict(job.recipe),
        "seed": job.seed,
    }
    return Identity(kind=TRAINING, values=values)


def _job(options: TrainingOptions, space: NetworkSpace, arch: Arch, data: Data, home: Path) -> TrainingJob:
    recipe, parts = _recipe(options, data), federated_options(options)
    network: dict[str, Any] = {"space": space.spec(), "arch": space.to_string(arch)}
    if recipe.auxiliary and isinstance(space, DartsSpace):
        network["auxiliary"] = True
    return TrainingJob(
        job_id=space.arch_id(arch),
        network=network,
        data=job_data(options, data, home, options.seed, options.label_options),
        recipe=asdict(recipe),
        seed=options.seed,
        device=options.device,
        start=None if options.start_from is None else start_of(Path(options.start_from)),
        teacher=teacher_of(options.teacher, options.teacher_weights, data),
        processes=options.gpus or 1,
        federated=None if parts is None else parts.checked(options, recipe, data),
    )


def _check_start(job: TrainingJob) -> None:
    """DamagedFileError where the weights that the training begins with cannot be those of its network."""
    if job.start is None:
        return
    weights = start_weights(job.start, job.network)
    try:
        begin(build_network(job.network), job.seed, weights)
    except DamagedFileError as error:
        raise DamagedFileError(
            f"--start-from {job.start['file']}: {error}; give weights of the same architecture and space"
        ) from None


def _recipe(options: TrainingOptions, data: Data) -> Recipe:
    """Of the options, for so many images; UsageError for what the task of the data does not learn by."""
    task, n_train = data.task, len(data.split("train"))
    preset = options.recipe or ("published" if task.name == CLASSIFICATION.name else "standard")
    recipe = recipe_of(
        preset,
        options,
        n_train,
        large=data.kind.dims == 2 and is_large(data.image_size),
        epochs=options.epochs,
        batch_size=options.batch_size,
    )
    require_fitting(task, options, recipe, strong=preset == "strong")
    adds = REGULARISED[preset].adds(task, data.kind) if preset in REGULARISED else {}
    recipe = changed(replace(recipe, **task.recipe, **adds), options)
    require_changes(recipe, data.name, data.kind)
    return recipe


def _train(context: TrainingContext) -> Outcome:
    """Leave `result.json` and the weights in the folder of the job, which keeps its own checkpoints."""
    run, job = context.run, context.prepared.job
    trained = read_result(job, run.path)
    if trained is None:
        with step_bar(run, job.job_id) as on_step:
            if context.federated is not None:
                trained = train_on_parts(context.federated, job, context.prepared.data, run, on_step)
            else:
                work = run_job if job.processes == 1 else train_together
                trained = work(job, run.path, on_step=on_step, log=run.log.warn)
    folder = trained.folder.name
    return Outcome(
        {"val_accuracy": trained.val_accuracy}, (f"{folder}/result.json", f"{folder}/weights.safetensors")
    )


def _trained(context: TrainingContext) -> Trained:
    trained = read_result(context.prepared.job, context.run.path)
    assert trained is not None  # the stage is done, and its files are as it left them
    return trained


def _export(context: TrainingContext) -> Outcome:
    """Write `model/` unless it is there, and read the test split once."""
    trained, prepared = _trained(context), context.prepared
    space, arch, data = prepared.space, prepared.arch, prepared.data
    folder, task = trained.folder / "model", data.task
    key = outward("test_accuracy", task)
    files = (f"{trained.folder.name}/{folder.name}",)
    if (folder / "manifest.json").exists():
        return Outcome({"test_accuracy": float(open_model(folder).manifest[key])}, files)
    module = trained.module()
    if isinstance(module, CellNetwork):
        module.auxiliary = None  # for training only
    accuracy, _ = score(module, eval_batches(data, "test", eval_batch(data.area)), task)
    scores = outward({"val_accuracy": trained.val_accuracy, "test_accuracy": accuracy}, task)
    network = {k: v for k, v in trained.job.network.items() if k != "auxiliary"}
    export_model(
        task.finish(module),
        data,
        folder,
        arch_id=space.arch_id(arch),
        network=network,
        dot=drawings(space, arch, space.arch_id(arch))["dot"],
        costs=prepared.costs(),
        facts={**scores, "blocks": space.describe(arch)},
    )
    return Outcome({"test_accuracy": accuracy}, files)


STAGES: tuple[RunStage[TrainingContext], ...] = (
    RunStage(name="training", does="train the network", work=_train),
    RunStage(name="export", does="export, check and test it", work=_export),
)
"""In order."""
