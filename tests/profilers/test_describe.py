"""Kernels of real runs: branches and bodies, nodes without names, empty tensors, types that numpy lacks."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lut.predictor.asked_kernels import LIMIT_S, CannotRunError, KernelProcess
from lut.predictor.kernels.features import features_of
from lut.predictor.layout import LayoutRule, apply_rule, extended_kernels
from profilers.kernels import Kernel
from profilers.limits import available_bytes, limit_memory
from profilers.profiled_runner import ProfiledRunner, self_us
from profilers.session import Runner
from targets import Target
from targets.errors import DamagedFileError, TargetError
from tests.support.interrupts import interrupt

F, BOOL, I64 = TensorProto.FLOAT, TensorProto.BOOL, TensorProto.INT64


def info(name: str, kind: int, shape: Any) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def network(nodes: Any, inputs: Any, outputs: Any, weights: Any = (), opset: int = 17) -> bytes:
    graph = helper.make_graph(
        nodes, "g", inputs, outputs, [numpy_helper.from_array(a, n) for n, a in weights]
    )
    opsets = [helper.make_opsetid("", opset)]
    return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=9).SerializeToString())


def kernels(data: bytes, target: Target) -> list[Kernel]:
    runner = ProfiledRunner("net", data, target, 0)
    runner.run(1)
    return runner.profile(0)[0]


def branches(sign: float) -> bytes:
    """The mean of x, which is `sign`, decides between a Sigmoid and a Tanh of the same name."""
    out = [info("z", F, [1, 8])]
    then, other = (
        helper.make_graph([helper.make_node(op, ["x"], ["z"], name="inside")], op, [], out)
        for op in ("Sigmoid", "Tanh")
    )
    nodes = [
        helper.make_node("Mul", ["x", "zero"], ["n"]),
        helper.make_node("Add", ["n", "sign"], ["p"]),
        helper.make_node("ReduceMean", ["p"], ["m"], keepdims=0),
        helper.make_node("Greater", ["m", "zero"], ["c"]),
        helper.make_node("If", ["c"], ["y"], name="decide", then_branch=then, else_branch=other),
    ]
    weights = [("zero", np.float32(0)), ("sign", np.float32(sign))]
    return network(nodes, [info("x", F, [1, 8])], [info("y", F, [1, 8])], weights)


def loop(trips: int | None) -> bytes:
    """Relu(x @ w), over and over; without end where trips is None."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"], name="go"),
            helper.make_node("MatMul", ["v", "w"], ["p"], name="product"),
            helper.make_node("Relu", ["p"], ["r"], name="relu"),
        ],
        "body",
        [info("i", I64, []), info("go", BOOL, []), info("v", F, [4, 8])],
        [info("go_on", BOOL, []), info("r", F, [4, 8])],
    )
    limit = "" if trips is None else "n"
    nodes = [helper.make_node("Loop", [limit, "start", "x"], ["y"], name="loop", body=body)]
    weights = [("start", np.array(True)), ("w", np.ones((8, 8), np.float32))]
    weights += [] if trips is None else [("n", np.array(trips))]
    return network(nodes, [info("x", F, [4, 8])], [info("y", F, [4, 8])], weights)


@pytest.mark.parametrize(
    ("sign", "ran", "op"), [(1.0, "then_branch", "Sigmoid"), (-1.0, "else_branch", "Tanh")]
)
def test_the_branch_that_ran_is_listed_before_its_if(host: Target, sign: float, ran: str, op: str) -> None:
    listed = kernels(branches(sign), host)
    assert [k.op for k in listed][-2:] == [op, "If"]
    assert listed[-1].attributes["branch"] == ran
    assert listed[-1].results == ("y",)


def test_a_body_is_listed_once_per_trip(host: Target) -> None:
    listed = kernels(loop(3), host)
    assert sorted(k.op for k in listed) == sorted(["MatMul", "Relu", "Identity"] * 3 + ["Loop"])
    assert listed[-1].attributes["trips"] == 3
    assert len({name for k in listed for name in k.writes}) == 10, (
        "what each trip writes has a name of its own"
    )
    products = [f for k, f in zip(listed, features_of(listed), strict=True) if k.op == "MatMul"]
    assert [f.macs for f in products] == [4 * 8 * 8] * 3


def test_the_layout_rule_takes_branches_and_loops(host: Target) -> None:
    for data in (branches(1.0), loop(3)):
        listed = kernels(data, host)
        assert sorted(k.op for k in apply_rule(listed, LayoutRule())) == sorted(k.op for k in listed)


def test_the_time_of_a_loop_is_without_its_kernels() -> None:
    """As in a trace: the kernels of a body end before their loop, and began after it."""
    events = [{"ts": t, "dur": d} for t, d in ((0, 5), (12, 3), (16, 4), (11, 12), (10, 20), (40, 1))]
    assert self_us(events) == [5, 3, 4, 5, 8, 1]


def test_nodes_without_names_are_those_that_ran(host: Target) -> None:
    """Convolutions side by side run in another order than they stand in the file."""
    sizes = (1, 5, 3, 7)
    nodes = [helper.make_node("Conv", ["x", f"w{k}"], [f"c{k}"], group=2, pads=[k // 2] * 4) for k in sizes]
    nodes.append(helper.make_node("Concat", [f"c{k}" for k in sizes], ["y"], axis=1))
    weights = [(f"w{k}", np.ones((2 * k, 3, k, k), np.float32)) for k in sizes]
    data = network(nodes, [info("x", F, [1, 6, 8, 8])], [info("y", F, None)], weights)
    convs = [k for k in kernels(data, host) if k.op == "Conv"]
    assert len(convs) == 4
    for kernel in convs:  # the runtime reports the output, the file the weight: 2 k channels, k x k
        assert kernel.inputs[1].shape[0] == kernel.outputs[0].shape[1]


def test_empty_tensors_move_no_bytes(host: Target) -> None:
    nodes = [
        helper.make_node("Greater", ["x", "big"], ["m"]),
        helper.make_node("NonZero", ["m"], ["nz"]),
        helper.make_node("Transpose", ["nz"], ["t"]),
        helper.make_node("GatherND", ["x", "t"], ["v"]),
        helper.make_node("Mul", ["v", "v"], ["q"]),
        helper.make_node("ReduceSum", ["q"], ["y"], keepdims=0),
    ]
    data = network(nodes, [info("x", F, [4, 8])], [info("y", F, [])], [("big", np.float32(1e9))])
    by_op = {k.op: f for k, f in zip(kernels(data, host), features_of(kernels(data, host)), strict=True)}
    assert by_op["Mul"].read_bytes == by_op["Mul"].write_bytes == 0


@pytest.mark.parametrize("kind", [TensorProto.FLOAT8E5M2, TensorProto.BFLOAT16])
def test_outputs_that_numpy_lacks_are_not_fetched(host: Target, kind: int) -> None:
    nodes = [helper.make_node("Cast", ["x"], ["y"], to=kind)]
    data = network(nodes, [info("x", F, [8])], [info("y", kind, [8])], opset=19)
    Runner("net", data, host, 0).run(2)


def test_inputs_that_are_no_tensors_get_one_message(host: Target) -> None:
    sequence = helper.make_tensor_sequence_value_info("x", F, None)
    nodes = [helper.make_node("ConcatFromSequence", ["x"], ["y"], axis=0)]
    with pytest.raises(DamagedFileError, match=r"input 'x' is seq\(tensor\(float\)\), which cannot be fed"):
        Runner("net", network(nodes, [sequence], [info("y", F, None)]), host, 0)


def test_inputs_larger_than_memory_are_refused(host: Target) -> None:
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    shape = [1, 3, 10**7, 10**7]
    with pytest.raises(TargetError, match=r"input 'x' of 1 x 3 x 10000000 x 10000000 needs 1200000\.0 GB"):
        Runner("net", network(nodes, [info("x", F, shape)], [info("y", F, shape)]), host, 0)


def test_tensors_between_that_are_larger_than_memory_end_in_a_message(host: Target) -> None:
    nodes = [
        helper.make_node("Expand", ["x", "s"], ["e"]),
        helper.make_node("ReduceMax", ["e"], ["y"], keepdims=0),
    ]
    data = network(nodes, [info("x", F, [1])], [info("y", F, [])], [("s", np.array([10**6, 10**7]))])
    with pytest.raises(TargetError, match="needs more memory"):
        kernels_there(data, host)


def kernels_there(data: bytes, target: Target, limit_s: float = LIMIT_S) -> list[Kernel]:
    """What a process apart answers."""
    with KernelProcess(limit_s) as process:
        return process.kernels(data, target, "net")


@pytest.mark.slow
def test_a_loop_without_end_is_ended(host: Target) -> None:
    with pytest.raises(CannotRunError, match="net did not end within 3 s"):
        kernels_there(loop(None), host, limit_s=3)


@pytest.mark.slow
def test_the_process_ends_with_its_input_in_the_middle_of_a_network(host: Target, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(loop(None))
    request = {"name": "net", "model": str(tmp_path / "m.onnx"), "target": host.to_json()}
    done = subprocess.run(
        [sys.executable, "-m", "profilers.kernels_child"],
        input=json.dumps(request) + "\n",
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_the_process_answers_as_this_one(host: Target) -> None:
    assert kernels_there(loop(2), host) == kernels(loop(2), host)
    with pytest.raises(DamagedFileError, match="onnxruntime cannot load net"):
        kernels_there(b"no network", host)


def test_ctrl_c_is_heard_while_a_network_runs(host: Target, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(loop(None))
    code = (
        "import signal, sys, pathlib; from targets import load_target\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background\n"
        "from lut.predictor.asked_kernels import KernelProcess\n"
        "import onnxruntime  # a signal while its extension starts is lost\n"
        "print('go', flush=True)\n"
        "process = KernelProcess()\n"
        "process.kernels(pathlib.Path(sys.argv[1]).read_bytes(), load_target('host'), 'net')"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "m.onnx")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None and child.stdout.readline() == b"go\n"
    assert b"KeyboardInterrupt" in interrupt(child)


MEMINFO = "MemTotal: 9 kB\nMemAvailable: 2000 kB\n"


def test_free_memory_is_the_least_of_what_the_system_says(tmp_path: Path) -> None:
    assert available_bytes(tmp_path) is None
    limit_memory(tmp_path)  # nothing is known, nothing happens
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text(MEMINFO)
    assert available_bytes(tmp_path) == 2000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    (group / "memory.current").write_text("500\n")
    assert available_bytes(tmp_path) == 2000 * 1024
    (group / "memory.max").write_text("1500\n")
    assert available_bytes(tmp_path) == 1000


def power(exponent: Any, to: int | None = None) -> bytes:
    """x to the power of a weight, cast to an element type where that is given."""
    cast = [helper.make_node("Cast", ["w"], ["e"], to=to)] if to else []
    nodes = [*cast, helper.make_node("Pow", ["x", "e" if to else "w"], ["y"])]
    return network(nodes, [info("x", F, [2, 4])], [info("y", F, [2, 4])], [("w", np.asarray(exponent))])


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (power(np.float32(2)), "Pow 2, 3"),
        (power(np.array([[3]], np.float32)), "Pow 2, 3"),
        (power(np.int64(2)), "Pow 2, 3"),
        (power(np.array([3], np.int32), to=F), "Pow 2, 3"),
        (power(np.float32(0.5)), "Pow"),
        (power(np.float32(4)), "Pow"),
        (power(np.full((1, 4), 2, np.float32)), "Pow"),
    ],
    ids=["2", "3 of rank 2", "whole 2", "3 cast", "a root", "4", "as many 2 as columns"],
)
def test_an_exponent_that_is_multiplied_out_is_a_kind_of_its_own(
    host: Target, data: bytes, kind: str
) -> None:
    """On the target, and as the layout rule says on another machine; the factor is in `moving.py`."""
    for listed in (kernels(data, host), apply_rule(extended_kernels(data), LayoutRule())):
        assert [feature.kind for feature in features_of(listed)] == [kind]


def test_an_exponent_that_comes_as_an_input_is_not_known(host: Target) -> None:
    node = helper.make_node("Pow", ["x", "e"], ["y"])
    data = network([node], [info("x", F, [2, 4]), info("e", F, [])], [info("y", F, [2, 4])])
    assert [feature.kind for feature in features_of(kernels(data, host))] == ["Pow"]


@pytest.mark.parametrize(
    ("axes", "steps", "kind"),
    [
        ([3], [2], "Slice by element"),
        ([2, -1], [1, -1], "Slice by element"),
        (None, [1, 1, 1, 2], "Slice by element"),
        ([2], [2], "Slice"),
        ([1, 3], [2, 1], "Slice"),
        ([3], None, "Slice"),
    ],
)
def test_a_slice_that_leaves_elements_out_of_rows_is_a_kind_of_its_own(
    host: Target, axes: Any, steps: Any, kind: str
) -> None:
    parts = [("axes", axes), ("steps", steps)]
    bounds = (
        [0 if step > 0 else -1 for step in steps or [1]],
        [4 if step > 0 else -9 for step in steps or [1]],
    )
    weights = [("starts", bounds[0]), ("ends", bounds[1]), *((k, v) for k, v in parts if v)]
    names = ["starts", "ends", *(k if v else "" for k, v in parts)]
    data = network(
        [helper.make_node("Slice", ["x", *names], ["y"])],
        [info("x", F, [1, 4, 4, 4])],
        [info("y", F, ["a", "b", "c", "d"])],
        [(name, np.int64(values)) for name, values in weights],
    )
    (kernel,) = kernels(data, host)
    assert features_of([kernel])[0].kind == kind
