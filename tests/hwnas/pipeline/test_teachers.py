"""Who teaches whom: files are checked before a training; in a search the largest pick is trained first."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from hwnas.core.samples import IMAGE
from hwnas.data import Data, load_data
from hwnas.exporting.export import onnx_bytes
from hwnas.networks.modes import safetensors_bytes
from hwnas.pipeline.main_job import training
from hwnas.pipeline.main_job.candidate import Candidate, Finalist
from hwnas.pipeline.main_job.training import teacher_for, waves
from hwnas.pipeline.teachers import LARGEST, KnownSamples, require_teacher, start_of, teacher_of
from hwnas.runs.config import SearchConfig
from hwnas.training.known import build_known
from hwnas.training.teacher import read_teacher
from hwnas.training.training_job import TrainingJob
from targets.errors import DamagedFileError, UsageError
from targets.files import sha256


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Data:
    torch.set_num_threads(1)
    return load_data("digits", 16, 0, root=tmp_path_factory.mktemp("home"), limit=120)


def network(n_classes: int = 10, size: int = 16) -> bytes:
    return onnx_bytes(nn.Sequential(nn.Flatten(), nn.Linear(size * size, n_classes)), (1, 1, size, size))


def operator(op: str, n_inputs: int, **attributes: Any) -> bytes:
    """A file of one operator over images."""
    names = [f"x{i}" for i in range(n_inputs)]
    shape = [] if op.startswith("Reduce") else [1, 1, 16, 16]
    graph = helper.make_graph(
        [helper.make_node(op, names, ["y"], **attributes)],
        "g",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 16, 16]) for name in names],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def test_no_teacher_is_none(digits: Data) -> None:
    assert teacher_of(None, None, digits) is None


def test_an_onnx_file_that_fits_is_taken_with_its_checksum(digits: Data, tmp_path: Path) -> None:
    path = tmp_path / "t.onnx"
    path.write_bytes(network())
    spec = teacher_of(str(path), None, digits)
    assert spec == {"file": str(path), "sha256": sha256(path)}
    assert read_teacher(spec, "cpu")(torch.zeros(3, 1, 16, 16)).shape == (3, 10)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (network(n_classes=7), "7 classes, and digits has 10"),
        (network(size=20), "reads"),
        (operator("ReduceMean", 1, keepdims=0), "answers for 1 classes"),  # of no axis at all
        (operator("Add", 2), "has 2 inputs"),
    ],
)
def test_an_onnx_file_of_other_images_is_refused(
    model: bytes, said: str, digits: Data, tmp_path: Path
) -> None:
    path = tmp_path / "t.onnx"
    path.write_bytes(model)
    with pytest.raises(UsageError, match=said):
        teacher_of(str(path), None, digits)


def test_what_reads_images_teaches_no_windows(tmp_path: Path) -> None:
    gestures = load_data("gestures", None, 0, root=tmp_path)
    with pytest.raises(
        UsageError, match="--teacher torchvision:resnet18 reads images, and gestures has windows"
    ):
        teacher_of("torchvision:resnet18", tmp_path / "w.safetensors", gestures)


def test_weights_that_cannot_be_read_are_told_where_only_the_kind_of_images_is_known(tmp_path: Path) -> None:
    samples = KnownSamples("photos", IMAGE, {"image_size": 32, "in_channels": 3, "n_classes": 7})
    config = SearchConfig(teacher="torchvision:resnet18", teacher_weights=str(tmp_path / "gone.safetensors"))
    with pytest.raises(DamagedFileError, match=r"gone\.safetensors: No such file"):
        require_teacher(config, samples)


@pytest.mark.slow
def test_a_timm_model_needs_weights_of_as_many_classes(digits: Data, tmp_path: Path) -> None:
    name, path = "timm:lcnet_035", tmp_path / "w.safetensors"
    with pytest.raises(UsageError, match="--teacher-weights"):
        teacher_of(name, None, digits)
    path.write_bytes(safetensors_bytes(build_known(name, 7, 1)))
    with pytest.raises(DamagedFileError, match="as many classes"):
        teacher_of(name, path, digits)
    path.write_bytes(safetensors_bytes(build_known(name, 10, 1)))
    spec = teacher_of(name, path, digits)
    assert spec is not None and spec["model"] == name
    assert read_teacher(spec, "cpu")(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
    with pytest.raises(UsageError, match="timm has no model"):
        teacher_of("timm:nothing_at_all", path, digits)


def test_where_a_teacher_lies_does_not_change_a_training(tmp_path: Path) -> None:
    common = {"job_id": "a", "network": {}, "data": {}, "recipe": {}, "seed": 0}
    jobs = [
        TrainingJob(**common, teacher={"file": place, "sha256": checksum})  # type: ignore[arg-type]
        for place, checksum in (("a.onnx", "1"), ("b.onnx", "1"), ("a.onnx", "2"))
    ]
    assert jobs[0].digest() == jobs[1].digest() != jobs[2].digest()
    assert TrainingJob(**common).digest() != jobs[0].digest()  # type: ignore[arg-type]


def test_weights_to_start_from_are_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(b"x")
    with pytest.raises(UsageError, match="no safetensors file"):
        start_of(path)
    with pytest.raises(UsageError, match="nothing that was trained"):
        start_of(tmp_path / "gone")


def context_of(teacher: str | None, macs: list[float], monkeypatch: pytest.MonkeyPatch) -> Any:
    """A search with picks of that many MACs, named by their place."""
    picks = [
        Candidate(origin="front", predicted={"macs": m}, measured={}, arch=str(i)) for i, m in enumerate(macs)
    ]

    def named(context: Any, candidate: Candidate) -> Finalist:
        return Finalist(arch_id=str(candidate.arch), network={"arch": candidate.arch}, candidate=candidate)

    monkeypatch.setattr(training, "finalist", named)
    config = SimpleNamespace(teacher=teacher, teacher_weights=None)
    return SimpleNamespace(config=config, picks=picks, data=None)


def test_the_largest_pick_is_trained_first_and_teaches_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(LARGEST, [2.0, 9.0, 5.0], monkeypatch)
    networks = [training.finalist(context, pick) for pick in context.picks]
    assert [[n.arch_id for n in wave] for wave in waves(context, networks)] == [["1"], ["0", "2"]]
    trained = SimpleNamespace(start={"file": "w", "sha256": "s"})
    monkeypatch.setattr(training, "read_planned", lambda context, network, seed: trained)
    assert teacher_for(context, networks[1], 0) is None
    assert teacher_for(context, networks[0], 0) == {"network": {"arch": "1"}, "file": "w", "sha256": "s"}


def test_without_a_teacher_all_are_trained_together(monkeypatch: pytest.MonkeyPatch) -> None:
    context = context_of(None, [2.0, 9.0], monkeypatch)
    networks = [training.finalist(context, pick) for pick in context.picks]
    assert waves(context, networks) == [networks]
    assert teacher_for(context, networks[0], 0) is None
