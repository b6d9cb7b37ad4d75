"""The doors: each reads one kind of input from outside; with valid inputs of it, and ways to break them."""

from __future__ import annotations

import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from targets import load_target
from targets.files import sha256

from . import mutations
from .mutations import Mutate

Read = Callable[[bytes, Path], None]
"""(input, an empty folder) -> nothing; HwnasError is the right answer to a broken input."""

TOML: Sequence[Mutate] = (mutations.by_token, mutations.by_token, mutations.by_bytes)
TEXT: Sequence[Mutate] = (mutations.by_token, mutations.by_bytes)
JSON: Sequence[Mutate] = (mutations.by_json, mutations.by_json, mutations.by_json, mutations.by_bytes)
ONNX: Sequence[Mutate] = (mutations.by_field, mutations.by_field, mutations.by_bytes)
RUN: Sequence[Mutate] = (mutations.by_number, mutations.by_number, mutations.by_number, mutations.by_field)
"""Four of five files of ONNX are refused before anything runs, so that other changes find what runs badly."""

ZIP: Sequence[Mutate] = (mutations.by_member, mutations.by_member, mutations.by_bytes)


@dataclass(frozen=True)
class Door:
    """seeds: valid inputs. kinds: ways to break them. share: of all inputs, before scaling."""

    read: Read
    seeds: Callable[[], Sequence[bytes]]
    kinds: Sequence[Mutate]
    share: int


SPACE_NAMES = ("darts", "nasbench201", "mobile", "enas-macro", "pnas")


def spaces() -> Mapping[str, Any]:
    """The spaces that come with hwnas, small."""
    from hwnas.spaces import load_space

    if not _SPACES:
        for name in SPACE_NAMES:
            _SPACES[name] = load_space(name, image_size=32, in_channels=3, n_classes=10)
    return _SPACES


_SPACES: dict[str, Any] = {}


def _file(folder: Path, name: str, data: bytes) -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def _toml_files(folder: str) -> Sequence[bytes]:
    root = Path(__file__).resolve().parents[2]
    return [path.read_bytes() for path in sorted((root / folder).glob("*.toml"))]


def _read_space(data: bytes, folder: Path) -> None:
    from hwnas.spaces import load_space

    load_space(str(_file(folder, "s.toml", data)), image_size=32, in_channels=3, n_classes=10)


def _read_method(data: bytes, folder: Path) -> None:
    from hwnas.gradient.method_file import load_method

    load_method(_file(folder, "m.toml", data))


def _methods() -> Sequence[bytes]:
    return [
        b'base = "darts"\nname = "mine"\n',
        b'base = "gdas"\nname = "a"\ndecode = "argmax"\nlabel_smoothing = 0.1\n[policy]\nname = "logits"\n',
        b'base = "darts"\nname = "b"\n[[stages]]\nshare = 0.5\n[[stages]]\nshare = 0.5\nfrozen = 0.5\n',
    ]


def _read_target(data: bytes, folder: Path) -> None:
    load_target(_file(folder, "t.toml", data))


def _read_config(data: bytes, folder: Path) -> None:
    from hwnas.runs.config import load_config

    load_config(_file(folder, "c.toml", data), {})


def _configs() -> Sequence[bytes]:
    return [
        b'data = "digits"\nspace = "mobile"\nbudget_ms = 0.5\nbatch = 1\nseed = 1\nevaluations = 12\n',
        b'data = "cifar10"\ntargets = ["host", "jetson"]\nbudgets = ["latency_ms<=2", "size_mb<=1"]\n'
        b'objectives = ["val_accuracy", "latency_ms"]\nstrategy = "bo"\nimage_size = 32\n',
    ]


def _read_genotype(data: bytes, folder: Path) -> None:
    from hwnas.genotype import read_genotype

    name, _, text = data.partition(b"\n")
    space = spaces().get(name.decode("utf-8", "replace"), spaces()["darts"])
    read_genotype(space, text.decode("utf-8", "replace"))


def _genotypes() -> Sequence[bytes]:
    from hwnas.genotype import FORMS, write_genotype
    from targets.errors import UsageError

    seeds = []
    for name, space in spaces().items():
        for seed in range(3):
            arch = space.sample(np.random.default_rng(seed))
            for form in ("key", *FORMS):
                try:
                    seeds.append(f"{name}\n{write_genotype(space, arch, form)}".encode())
                except UsageError:
                    continue
            seeds.append(f"{name}\n{tuple(int(i) for i in arch)}".encode())
    return seeds


def _read_alphas(data: bytes, folder: Path) -> None:
    from hwnas.pipeline.search_history.alphas import arch_at, read_alphas

    kind, _, content = data.partition(b"\n")
    name = "alpha_normal_history.npy" if kind == b"npy" else "alphas.npz"
    if kind == b"npy":
        _file(folder, "alpha_reduce_history.npy", content)
    space = spaces()["darts"]
    arch_at(space, read_alphas(_file(folder, name, content), space))


def _alphas() -> Sequence[bytes]:
    space, rng = spaces()["darts"], np.random.default_rng(0)
    edges, operations = len(space.wiring.edges), len(space.operations)
    npz, npy = io.BytesIO(), io.BytesIO()
    np.savez(npz, allow_pickle=False, **{c.name: rng.normal(size=(2, len(c.options))) for c in space.choices})
    np.save(npy, rng.normal(size=(2, edges, operations)))
    return [b"npz\n" + npz.getvalue(), b"npy\n" + npy.getvalue()]


def _read_model(data: bytes, folder: Path) -> None:
    from lut.predictor.models.input_metadata import fed_notes, fixed
    from lut.predictor.models.model_file import read_model

    model = read_model(_file(folder, "m.onnx", data))
    fed_notes(model)
    fixed(model)


def _run_model(data: bytes, folder: Path) -> None:
    from lut.predictor.asked_kernels import KernelProcess
    from lut.predictor.footprint.memory import footprint
    from lut.predictor.kernels.features import features_of
    from lut.predictor.models.model_file import read_model

    model = read_model(_file(folder, "m.onnx", data))
    if not _PROCESS:
        _PROCESS.append(KernelProcess(limit_s=60.0))
    kernels = _PROCESS[0].kernels(model, load_target("host"), "m.onnx")
    features_of(kernels)
    footprint(kernels, len(model))


_PROCESS: list[Any] = []


def close_process() -> None:
    """End the process that runs networks."""
    while _PROCESS:
        _PROCESS.pop().close()


def _models() -> Sequence[bytes]:
    """Three kinds of networks, with branches, and with their weights computed."""
    from lut.predictor.generate import generate

    small = sorted(generate(12, 0), key=lambda network: network.macs)[:3]
    return [*(network.onnx() for network in small), _branches(), _table_of_rows()]


def _branches() -> bytes:
    """A branch by value, with a body each, and an open batch."""
    from onnx import TensorProto, helper

    out = [helper.make_tensor_value_info("z", TensorProto.FLOAT, None)]
    bodies = {
        f"{name}_branch": helper.make_graph([helper.make_node(op, ["x"], ["z"])], name, [], out)
        for name, op in (("then", "Relu"), ("else", "Neg"))
    }
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])
    c = helper.make_tensor_value_info("c", TensorProto.BOOL, [])
    return _saved([helper.make_node("If", ["c"], ["y"], **bodies)], [x, c], [])


def _table_of_rows() -> bytes:
    """Rows behind a cast, a reshape, and a convolution whose weight is an initializer."""
    from onnx import TensorProto, helper, numpy_helper

    i = helper.make_tensor_value_info("i", TensorProto.INT64, [1, 1, 4])
    weights = {"t": np.zeros((9, 4), np.float32), "w": np.zeros((2, 1, 3, 3), np.float32)}
    nodes = [
        helper.make_node("Gather", ["t", "i"], ["r"]),
        helper.make_node("Conv", ["r", "w"], ["h"], pads=[1, 1, 1, 1], group=1),
        helper.make_node("Transpose", ["h"], ["y"], perm=[0, 2, 3, 1]),
    ]
    return _saved(nodes, [i], [numpy_helper.from_array(w, name) for name, w in weights.items()])


def _saved(nodes: Sequence[Any], inputs: Sequence[Any], weights: Sequence[Any]) -> bytes:
    from onnx import TensorProto, helper

    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", inputs, [y], weights)
    opsets = [helper.make_opsetid("", 17)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def _read_rows(data: bytes, folder: Path) -> None:
    from lut.predictor.kernels.labels import labelled
    from profilers.row_check import checked_rows
    from profilers.rows import read_rows
    from profilers.settle import settle

    rows = checked_rows(read_rows(_file(folder, "rows.jsonl", data)), "rows.jsonl")
    json.dumps(settle([row for row in rows if row["kind"] == "time"]))
    labelled(rows)


def _rows() -> Sequence[bytes]:
    """What a job of two networks left."""
    return [Path(__file__).with_name("rows.jsonl").read_bytes()]


def _read_job(data: bytes, folder: Path) -> None:
    from profilers.job import read_job
    from profilers.store import wanted

    _file(folder, "manifest.json", data)
    _file(folder, "a.onnx", b"network")
    read_job(folder)
    wanted(json.loads(data))


def _jobs() -> Sequence[bytes]:
    from profilers.job import VERSION

    target = load_target("host").to_json()
    entry = {"key": "a", "file": "a.onnx", "sha256": sha256(b"network"), "kinds": ["time"]}
    timing = {"seconds": 3.0}
    job = {"version": VERSION, "target": target, "models": [entry], "reference": entry, "timing": timing}
    return [json.dumps(job).encode()]


def _read_blocks(data: bytes, folder: Path) -> None:
    from lut.tables.blocks_csv import parse

    parse(data, "blocks.csv")


def _blocks() -> Sequence[bytes]:
    from lut.tables.blocks_csv import COLUMNS

    row = {"key": "conv3/3x32x32/8/s2", "clock": "cpu", "flag": "ok", "n": "12"}
    cells = ",".join(row.get(column, "0.5") for column in COLUMNS)
    return [f"{','.join(COLUMNS)}\n{cells}\n{cells.replace('conv3', 'conv5')}\n".encode()]


def _read_results(data: bytes, folder: Path) -> None:
    from hwnas.spaces.table import load_table

    table, _, schema = data.partition(b"#\n")
    _file(folder, "t.toml", schema)
    load_table(str(_file(folder, "t.csv", table)))


def _results() -> Sequence[bytes]:
    rows = "\n".join(f"{w},{d},{0.1 * w * d},{w * d}" for w in (1, 2) for d in (1, 2, 3))
    return [
        f"w,d,acc,ms\n{rows}\n#\nchoices = ['w', 'd']\n".encode()
        + b"[metrics]\nval_accuracy = 'acc'\nlatency_ms = 'ms'\n"
    ]


def _read_archive(data: bytes, folder: Path) -> None:
    from hwnas.data.inspection import inspect_data

    inspect_data(str(_file(folder, "d.zip", data)), 16, root=folder).require_sound()


def _archives() -> Sequence[bytes]:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for kind in ("cat", "dog"):
            for i in range(4):
                archive.writestr(f"{kind}/{i}.png", _png(i + 10 * (kind == "cat")))
    return [buffer.getvalue()]


def _png(shade: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), (shade * 8, 255 - shade, 7)).save(buffer, "PNG")
    return buffer.getvalue()


def _read_folder(data: bytes, folder: Path) -> None:
    """A table of labels beside images, one of which is the broken one."""
    from hwnas.data.inspection import inspect_data

    table, _, image = data.partition(b"#\n")
    for i in range(11):
        _file(folder, f"{i}.png", _png(i))
    _file(folder, "11.png", image)
    inspect_data(str(_file(folder, "labels.csv", table)), 16, root=folder, skip_broken=True).require_sound()


def _folders() -> Sequence[bytes]:
    rows = "".join(f"{i}.png,{'cat' if i % 2 else 'dog'}\n" for i in range(12))
    return [b"file,label\n" + rows.encode() + b"#\n" + _png(9)]


def _read_bundle(data: bytes, folder: Path) -> None:
    from lut.tables.bundle import import_bundle

    import_bundle(_file(folder, "b.zip", data), folder / "home")


def _bundles() -> Sequence[bytes]:
    from lut.tables.bundle import Stored, export_bundle
    from tests.support.homes import write_space_table

    with tempfile.TemporaryDirectory() as home:
        table = write_space_table(Path(home), "host", {"ort_version": "1.0"})
        return [export_bundle(Stored(table, Path(home) / "tables/host" / table.context.hash))]


def _read_inputs(data: bytes, folder: Path) -> None:
    from lut.predictor.models.input_shapes import parse_shapes
    from lut.predictor.models.input_values import parse_inputs

    text, _, content = data.partition(b"#\n")
    line = text.decode("utf-8", "replace").strip()
    parse_inputs([f"x={_file(folder, 'v.npz', content)}", line])
    parse_shapes([line])


def _inputs() -> Sequence[bytes]:
    buffer = io.BytesIO()
    np.savez(buffer, x=np.arange(8))
    return [b"y=1,3,224,224#\n" + buffer.getvalue(), b"y=8#\n" + buffer.getvalue()]


DOORS: Mapping[str, Door] = {
    "model file": Door(_read_model, _models, ONNX, 25),
    "model that is run": Door(_run_model, _models, RUN, 5),
    "genotype": Door(_read_genotype, _genotypes, TEXT, 20),
    "space file": Door(_read_space, lambda: _toml_files("hwnas/spaces"), TOML, 8),
    "method file": Door(_read_method, _methods, TOML, 8),
    "target file": Door(_read_target, lambda: _toml_files("targets/known"), TOML, 8),
    "configuration": Door(_read_config, _configs, TOML, 8),
    "alphas": Door(_read_alphas, _alphas, ZIP, 6),
    "rows of a device": Door(_read_rows, _rows, JSON, 10),
    "job": Door(_read_job, _jobs, JSON, 6),
    "rows of a table": Door(_read_blocks, _blocks, TEXT, 4),
    "table of results": Door(_read_results, _results, TEXT, 4),
    "archive of images": Door(_read_archive, _archives, ZIP, 3),
    "table of labels": Door(_read_folder, _folders, TEXT, 3),
    "archive of a table": Door(_read_bundle, _bundles, ZIP, 3),
    "--shape, --input": Door(_read_inputs, _inputs, TEXT, 4),
}
