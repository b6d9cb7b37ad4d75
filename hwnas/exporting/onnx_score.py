"""What an exported file answers: logits and score through onnxruntime, on the file itself."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hwnas.networks.signature import NEXT_STATE, STATE
from hwnas.tasks import CLASSIFICATION, LabelArray, Task
from targets.errors import DamagedFileError

if TYPE_CHECKING:
    from hwnas.data import Data
    from hwnas.data.batches import Batch

LogitArray = NDArray[np.float32]
"""(n, n_classes)."""


@dataclass(frozen=True, slots=True)
class OnnxScore:
    """The answers on the samples of a split, in order.

    logits: (n, n_classes), or what the task keeps of outputs.
    labels: the true ones, (n,) or (n, k).
    task: what they mean.
    """

    logits: LogitArray
    labels: LabelArray
    task: Task = CLASSIFICATION

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Predicted labels (n,)."""
        labels: NDArray[np.int64] = self.logits.argmax(1).astype(np.int64)
        return labels

    @property
    def accuracy(self) -> float:
        """The score by the task, of classification the share of right answers."""
        return self.task.score(self.logits, self.labels)

    def disagreements(self, other: LogitArray) -> int:
        """Number of samples that `other` (n, n_classes), torch's logits, gives another label."""
        return int(self.task.unlike(self.logits, other).sum())


def onnx_accuracy(path: Path, data: Data, split: str) -> OnnxScore:
    """The exported file at `path` on every image of a split, in batches of the size it was exported for."""
    from hwnas.data import file_batches

    session = open_session(path)
    logits, labels = onnx_logits(session, file_batches(data, split, batch_of(session)), data.task)
    return OnnxScore(logits, labels, data.task)


def open_session(model: Path | bytes) -> Any:
    """An onnxruntime session on one thread of the CPU; DamagedFileError when it cannot be had."""
    import onnxruntime as ort
    from onnxruntime.capi import onnxruntime_pybind11_state as faults

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    source = model if isinstance(model, bytes) else str(model)
    known = (
        faults.NoSuchFile,
        faults.InvalidProtobuf,
        faults.InvalidArgument,
        faults.InvalidGraph,
        faults.Fail,
    )
    try:
        return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    except known as error:
        where = "the exported model" if isinstance(model, bytes) else str(model)
        raise DamagedFileError(f"{where} is no model that onnxruntime can run: {error}") from error


def batch_of(session: Any) -> int:
    """The fixed batch size of the model's input."""
    return int(session.get_inputs()[0].shape[0])


def onnx_logits(
    session: Any, batches: Iterable[Batch], task: Task = CLASSIFICATION
) -> tuple[LogitArray, LabelArray]:
    """Logits (n, n_classes), or what the task keeps of outputs, and labels.

    A batch that is too small runs with zeros behind its samples.
    """
    size = batch_of(session)
    rows, labels = [], []
    for x, y in batches:
        sample = np.ascontiguousarray(x.numpy())
        missing = size - len(sample)
        if missing:
            sample = np.concatenate([sample, np.zeros((missing, *sample.shape[1:]), sample.dtype)])
        true = y.numpy()
        rows.append(task.kept(outputs_of(session, sample)[: len(x)], true))
        labels.append(true)
    return np.concatenate(rows), np.concatenate(labels)


def outputs_of(session: Any, samples: NDArray[Any]) -> LogitArray:
    """The answer; of a file that carries a state, after each symbol of texts (b, l): (b, l, k)."""
    rows = [answer_of(session, outputs) for _, outputs in calls_of(session, samples)]
    return np.stack(rows, axis=1) if carries(session) else rows[0]


HEADS = "heads"
"""In the metadata of a file that has an output for each of several heads."""


def answer_of(session: Any, outputs: Sequence[Any]) -> LogitArray:
    """The first output of a call; of a file with several heads the outputs of all side by side."""
    if HEADS not in session.get_modelmeta().custom_metadata_map:
        first: LogitArray = outputs[0]
        return first
    return np.concatenate(outputs, axis=1)


def carries(session: Any) -> bool:
    """Whether the file is called again and again with the state that it gave."""
    return STATE in {value.name for value in session.get_inputs()}


def calls_of(session: Any, samples: NDArray[Any]) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """(what is fed, what comes out) of each call that a batch of samples needs."""
    first = session.get_inputs()[0].name
    if not carries(session):
        feeds = {first: samples}
        yield feeds, session.run(None, feeds)
        return
    shapes = {value.name: value.shape for value in session.get_inputs()}
    names = [value.name for value in session.get_outputs()]
    state = np.zeros(shapes[STATE], np.float32)
    for symbol in np.ascontiguousarray(samples.T):
        feeds = {first: symbol, STATE: state}
        outputs = session.run(None, feeds)
        state = outputs[names.index(NEXT_STATE)]
        yield feeds, outputs
