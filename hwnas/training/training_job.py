"""One training as a file in and files out.

A job is JSON. Its result lies in its folder: `result.json`, which holds its checksum, and
`weights.safetensors`. A training that was cut off goes on from the checkpoints in the same folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from targets import Int8Form
from targets.checksummed import read_checksummed, write_checksummed
from targets.errors import DamagedFileError
from targets.files import digest_of, read_json, safe_name, sha256, write_atomic

if TYPE_CHECKING:
    from torch import Tensor, nn

    from hwnas.data import Data
    from hwnas.distributed.ranks import Ranks

    from .training_state import EpochStats

_PLACES = ("root", "splits_file", "labels_csv", "images")
"""Keys of a job's data that say where things lie, not what they are: a moved run keeps its results."""
RESULT, WEIGHTS = "result.json", "weights.safetensors"
"""In the folder of a finished job."""


@dataclass(frozen=True, slots=True)
class TrainingJob:
    """A training, as JSON values.

    job_id: names its folder and does not affect the result.
    network: what `build_network` reads.
    data: the keywords of `load_data`, paths as text, and `splits_file`, the splits.json of the run.
    recipe: the fields of `Recipe`.
    seed: of the training.
    device: where it computes, as torch spells it.
    start: `{"file": …, "sha256": …}` of weights to go on from, as `start_weights` reads them; None for new
        ones from the seed.
    teacher: what `read_teacher` reads; None where the recipe does not distil.
    federated: the parts of the data that it is done on, where they stay where they are (`hwnas.federated`).
    processes: that do it together; with another number its sums, and so its result, differ in the last bits.
    form: the fields of an `Int8Form`, in which validation images are answered at the end; None for floats.
    """

    job_id: str
    network: Mapping[str, Any]
    data: Mapping[str, Any]
    recipe: Mapping[str, Any]
    seed: int
    device: str = "cpu"
    start: Mapping[str, str] | None = None
    teacher: Mapping[str, Any] | None = None
    processes: int = 1
    federated: Mapping[str, Any] | None = None
    form: Mapping[str, Any] | None = None

    def digest(self) -> str:
        """SHA-256 of what decides the result."""
        what = {**asdict(self), "data": {k: v for k, v in self.data.items() if k not in _PLACES}}
        del what["job_id"], what["start"], what["teacher"]
        if self.processes == 1:
            del what["processes"]
        if self.federated is None:
            del what["federated"]
        if self.form is None:
            del what["form"]
        if self.start is not None:
            what["start_sha256"] = self.start["sha256"]
        if self.teacher is not None:
            what["teacher"] = {k: v for k, v in self.teacher.items() if k != "file"}
        return digest_of(what)

    def folder(self, parent: Path) -> Path:
        """Where the job's files lie."""
        return parent / safe_name(self.job_id)


@dataclass(frozen=True, slots=True)
class Trained:
    """A finished job; its weights are in `folder`.

    val_accuracy, val_loss: after the last epoch, in the form of the job.
    val_scores: by the other scores of the task; empty in results of before.
    epochs: the course of the training.
    cpu_s: CPU time of the whole process while it trained.
    """

    job: TrainingJob
    folder: Path
    val_accuracy: float
    val_loss: float
    val_scores: Mapping[str, float]
    epochs: tuple[EpochStats, ...]
    cpu_s: float

    def scored(self, score: str) -> float:
        """By a score of the task; `accuracy` stands for its own."""
        return self.val_accuracy if score == "accuracy" else self.val_scores[score]

    def weights(self) -> dict[str, Tensor]:
        """The trained state of the network; DamagedFileError when it is not what was written."""
        from safetensors.torch import load

        return load(_weights(self.folder, read_checksummed(self.folder / RESULT, "training result")))

    @property
    def start(self) -> dict[str, str]:
        """Its weights as the `start` of another job of the same network."""
        path = self.folder / WEIGHTS
        return {"file": str(path.resolve()), "sha256": sha256(path)}

    def module(self) -> nn.Module:
        """The trained network, in eval mode."""
        from .build import build_network

        module = build_network(self.job.network)
        module.load_state_dict(self.weights())
        return module.eval()


@dataclass(frozen=True, slots=True)
class TrainingFailed:
    """A job without a result, and why."""

    job: TrainingJob
    reason: str


def read_result(job: TrainingJob, parent: Path) -> Trained | None:
    """The result that `run_job` wrote for this very job; None where there is none yet.

    DamagedFileError when the files are damaged; deleting the folder then trains the job again.
    """
    from .training_state import EpochStats

    folder = job.folder(parent)
    if not (folder / RESULT).exists():
        return None
    result = read_checksummed(folder / RESULT, "training result")
    if result["job_sha256"] != job.digest():
        raise DamagedFileError(
            f"{folder} holds the result of another training; delete it, or use a new folder"
        )
    _weights(folder, result)
    epochs = tuple(EpochStats(**e) for e in result["epochs"])
    return Trained(
        job=job,
        folder=folder,
        val_accuracy=result["val_accuracy"],
        val_loss=result["val_loss"],
        val_scores=result.get("val_scores", {}),
        epochs=epochs,
        cpu_s=result["cpu_s"],
    )


def stored_result(folder: Path) -> Trained:
    """What was trained in `folder`, whatever it is; DamagedFileError where that cannot be read."""
    document = read_checksummed(folder / RESULT, "training result")
    try:
        job = TrainingJob(**{**document["job"], "job_id": folder.name})
    except (KeyError, TypeError) as error:
        raise DamagedFileError(f"{folder / RESULT} is no result of a training ({error})") from None
    trained = read_result(job, folder.parent)
    assert trained is not None  # its result was just read
    return trained


def run_job(
    job: TrainingJob,
    parent: Path,
    *,
    data: Data | None = None,
    on_step: Callable[[int, int], None] | None = None,
    log: Callable[[str], None] = lambda text: None,
    save_every_s: float = 30.0,
    ranks: Ranks | None = None,
) -> Trained:
    """Train in this process, write the result, drop the checkpoints. The thread count is the caller's.

    data: the images of the job where they are loaded already.
    ranks: of several processes that do it together; each calls this, and the first one writes.
    """
    from hwnas.distributed.ranks import ALONE
    from hwnas.networks.modes import safetensors_bytes
    from hwnas.runs.checkpoints import Checkpoints

    from .build import build_network
    from .recipe import Recipe
    from .rounding import score_rounded
    from .start import start_weights
    from .teacher import read_teacher
    from .train import train

    ranks, began = ranks or ALONE, time.process_time()
    folder = job.folder(parent)
    checkpoints = Checkpoints(folder / "checkpoints", log)
    module = build_network(job.network)
    device = job.device if ranks.world == 1 else ranks.device
    loaded = data_of(job.data) if data is None else data
    result = train(
        module,
        loaded,
        Recipe(**job.recipe),
        job.seed,
        start=None if job.start is None else start_weights(job.start, job.network),
        teacher=None if job.teacher is None else read_teacher(job.teacher, str(device)),
        device=device,
        on_step=on_step,
        saver=_JobSaver(checkpoints),
        save_every_s=save_every_s,
        ranks=ranks,
    )
    scores = (result.val_accuracy, result.val_loss, *result.val_scores.values())
    if job.form is not None and ranks.is_first:
        scores = score_rounded(module, loaded, Int8Form.from_json(job.form), device)
    accuracy, loss, *others = scores
    trained = Trained(
        job=job,
        folder=folder,
        val_accuracy=accuracy,
        val_loss=loss,
        val_scores=dict(zip(result.val_scores, others, strict=True)),
        epochs=result.epochs,
        cpu_s=time.process_time() - began,
    )
    if ranks.is_first:
        write_result(trained, safetensors_bytes(module))
        checkpoints.delete(_STAGE)
    return trained


def write_result(trained: Trained, raw: bytes) -> None:
    """The weights, and then the result, which makes them count."""
    write_atomic(trained.folder / WEIGHTS, raw)
    document = {
        "schema": 1,
        "job": asdict(trained.job),
        "job_sha256": trained.job.digest(),
        "weights_sha256": sha256(raw),
        "val_accuracy": trained.val_accuracy,
        "val_loss": trained.val_loss,
        "val_scores": dict(trained.val_scores),
        "epochs": [asdict(e) for e in trained.epochs],
        "cpu_s": trained.cpu_s,
    }
    write_checksummed(trained.folder / RESULT, document)


_STAGE = "train"


class _JobSaver:
    def __init__(self, checkpoints: Any) -> None:
        self._checkpoints = checkpoints

    def save(self, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        self._checkpoints.save(_STAGE, step, tensors, state)

    def load(self) -> tuple[int, dict[str, Tensor], dict[str, Any]] | None:
        loaded: tuple[int, dict[str, Tensor], dict[str, Any]] | None = self._checkpoints.load(_STAGE)
        return loaded


_loaded: dict[str, Data] = {}  # the data of the last job: the next one mostly asks for the same


def data_of(spec: Mapping[str, Any]) -> Data:
    """The images that `TrainingJob.data` describes; those of the last call are kept."""
    from hwnas.data import load_data

    key = json.dumps(dict(spec), sort_keys=True)
    if key not in _loaded:
        options: dict[str, Any] = {k: v for k, v in spec.items() if k != "splits_file" and v is not None}
        for name in ("root", "labels_csv", "images"):
            if name in options:
                options[name] = Path(options[name])
        if spec.get("splits_file") is not None:
            options["splits"] = read_json(Path(spec["splits_file"]), "splits")
        options.setdefault("image_size", None)
        _loaded.clear()
        _loaded[key] = load_data(**options)
    return _loaded[key]


def _weights(folder: Path, result: Mapping[str, Any]) -> bytes:
    path = folder / WEIGHTS
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise DamagedFileError(f"training result: {path}: {error.strerror}; delete the folder") from None
    if sha256(raw) != result["weights_sha256"]:
        raise DamagedFileError(f"training result: {path} does not match its checksum; delete the folder")
    return raw
