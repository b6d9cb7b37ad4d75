"""How providers of phones would cut a network up: each operator that one lacks goes back to the CPU.

A graph that a provider runs whole is one partition. Every cut moves tensors between processors, which often
costs more than the provider saves. The partitions are those that onnxruntime's own checker finds
(`onnxruntime.tools.mobile_helpers`), after the optimisation that comes before them (level `basic`). For
CoreML it has the lists of operators; those of XNNPACK and QNN are from the providers' pages in onnxruntime's
documentation. It judges by the operator alone, so a provider may still refuse a node.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import onnx

from targets.errors import DamagedFileError, UsageError

_MAX_RANK = 5
"""Axes that CoreML's checker allows; the other providers' tensors have no more either."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Partitions:
    """What a provider would run of a network.

    provider: as `hwnas export` names it. partitions: 1 where it runs all, 0 where it runs nothing.
    nodes, supported_nodes: after optimisation.
    fallen_out: per operator that it lacks, the layers with one.
    made_by: per such operator, the operations of the search space that these layers are of, where known.
    """

    provider: str
    partitions: int
    nodes: int
    supported_nodes: int
    fallen_out: dict[str, list[str]]
    made_by: dict[str, list[str]] = field(default_factory=dict)

    @property
    def whole(self) -> bool:
        """Whether the provider runs all of it."""
        return self.partitions == 1 and self.nodes == self.supported_nodes

    @property
    def lost(self) -> str:
        """`HardSigmoid (9 layers, of mb3e6-hs, stem)`; empty where nothing falls out."""
        return lost_of(self.to_json())

    def to_json(self) -> dict[str, Any]:
        """For the manifest."""
        return asdict(self)


def lost_of(cut: Mapping[str, Any]) -> str:
    """`Partitions.lost` of one in a manifest; those of older versions do not say what made the layers."""
    made_by = cut.get("made_by", {})
    words = []
    for op, layers in cut["fallen_out"].items():
        of = f", of {', '.join(made_by[op])}" if op in made_by else ""
        words.append(f"{op} ({len(layers)}{of})")
    return ", ".join(words)


def operations_by_prefix(network: Mapping[str, Any]) -> dict[str, str]:
    """The operation of each block, by how the names of its nodes begin; empty for networks of no space.

    network: what `build_network` reads.
    """
    from hwnas.spaces import load_space

    network = network.get("shrunk", network)
    if "space" not in network:
        return {}
    try:
        space = load_space(**network["space"])
    except UsageError:  # a space file that is not here any more
        return {}
    arch = space.from_string(network["arch"])
    keys = space.block_keys(arch)
    return {
        prefix: key.partition("/")[0].rstrip("+")
        for prefix, key in zip(space.prefixes(arch), keys, strict=True)
    }


class ListedOperators:
    """The operators of a provider, as the runtime's checker asks for them."""

    def __init__(self, names: frozenset[str], fused: frozenset[str] = frozenset()) -> None:
        """Names: `Conv`, or with another domain `com.microsoft:Gelu`. fused: outputs of nodes that vanish."""
        self._names, self._fused = names, fused

    def is_op_supported(self, node: onnx.NodeProto) -> bool:
        """Whether the operator of the node is listed."""
        domain = node.domain if node.domain not in ("", "ai.onnx") else ""
        name = f"{domain}:{node.op_type}" if domain else node.op_type
        return name in self._names or node.output[0] in self._fused

    def get_caveats(self) -> list[str]:
        """The checker prints them; the lists have none."""
        return []


def partitions_of(model: bytes, operations: Mapping[str, str] | None = None) -> list[Partitions]:
    """What each provider would run of the network. It takes a tenth of a second per provider.

    operations: of the blocks that the network is made of, as `operations_by_prefix` has them.
    """
    optimised = _as_partitioned(model)
    return [
        _partitions(name, check(optimised), optimised, operations or {}) for name, check in _CHECKS.items()
    ]


def _partitions(
    provider: str, info: Any, model: onnx.ModelProto, operations: Mapping[str, str]
) -> Partitions:
    fallen_out: dict[str, list[str]] = {}
    made_by: dict[str, set[str]] = {}
    for node in model.graph.node:
        domain = node.domain or "ai.onnx"
        if (
            f"{domain}:{node.op_type}" in info.unsupported_ops
            and not info.supported_ops_checker.is_op_supported(node)
        ):
            fallen_out.setdefault(node.op_type, []).append(node.name or node.output[0])
            operation = _operation_of(node, operations)
            if operation is not None:
                made_by.setdefault(node.op_type, set()).add(operation)
    return Partitions(
        provider=provider,
        partitions=int(info.num_partitions),
        nodes=int(info.num_nodes),
        supported_nodes=int(info.num_supported_nodes),
        fallen_out=fallen_out,
        made_by={op: sorted(names) for op, names in made_by.items()},
    )


def _operation_of(node: onnx.NodeProto, operations: Mapping[str, str]) -> str | None:
    """The operation of the block that a node is of.

    The runtime gives names of its own to the pieces of an operator; what they give or read has the old ones.
    """
    names = (node.name, *node.output, *node.input)
    found = (made for name in names for prefix, made in operations.items() if name.startswith(prefix))
    return next(found, None)


def _as_partitioned(model: bytes) -> onnx.ModelProto:
    """The network as it is when the runtime hands it to a provider, with all shapes."""
    import onnxruntime as ort

    with tempfile.TemporaryDirectory(prefix="hwnas-partitions-") as folder:
        path = Path(folder, "optimised.onnx")
        options = ort.SessionOptions()
        options.log_severity_level = 4
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        try:
            ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises its own classes, one per status code
            raise DamagedFileError(f"cannot be partitioned: {error}") from error
        return onnx.shape_inference.infer_shapes(onnx.load(path))


def _listed(names: str, *, fuses: str = "", into: str = "") -> Callable[[onnx.ModelProto], Any]:
    """The operators of `names`; those of `fuses` too where they alone read the result of one of `into`."""

    def check(model: onnx.ModelProto) -> Any:
        from onnxruntime.tools.mobile_helpers.usability_checker import check_partitioning

        readers = Counter(name for node in model.graph.node for name in node.input)
        single = {out for node in model.graph.node if node.op_type in into.split() for out in node.output}
        fused = frozenset(
            node.output[0]
            for node in model.graph.node
            if node.op_type in fuses.split() and node.input[0] in single and readers[node.input[0]] == 1
        )
        operators = ListedOperators(frozenset(names.split()), fused)
        return check_partitioning(model.graph, operators, True, _MAX_RANK)

    return check


def _coreml(file: str) -> Callable[[onnx.ModelProto], Any]:
    def check(model: onnx.ModelProto) -> Any:
        from onnxruntime.tools.mobile_helpers.usability_checker import check_coreml_partitions

        return check_coreml_partitions(model, True, file)

    return check


_CHECKS: dict[str, Callable[[onnx.ModelProto], Any]] = {
    "coreml mlprogram": _coreml("coreml_supported_mlprogram_ops.md"),
    "coreml neuralnetwork": _coreml("coreml_supported_neuralnetwork_ops.md"),
    "xnnpack": _listed(
        "AveragePool Conv ConvTranspose MaxPool Softmax QLinearConv Resize Gemm MatMul "
        "com.microsoft:QLinearAveragePool com.microsoft:QLinearSoftmax com.microsoft:QLinearConvTranspose",
        fuses="Relu Clip",
        into="Conv MaxPool AveragePool",
    ),
    "qnn": _listed(
        "Abs Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization Cast Clip Concat Conv "
        "ConvTranspose Cos DepthToSpace DequantizeLinear Div Elu Equal Exp Expand Flatten Floor Gather Gelu "
        "Gemm GlobalAveragePool Greater GreaterOrEqual GridSample HardSigmoid HardSwish "
        "InstanceNormalization LRN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax "
        "LpNormalization MatMul Max MaxPool Min Mul Neg Not Or PRelu Pad Pow QuantizeLinear ReduceMax "
        "ReduceMean ReduceMin ReduceProd ReduceSum Relu Reshape Resize Round Sigmoid Sign Sin Slice Softmax "
        "SpaceToDepth Split Sqrt Squeeze Sub Tanh Tile TopK Transpose Unsqueeze Where "
        "com.microsoft:DequantizeLinear com.microsoft:Gelu com.microsoft:QuantizeLinear"
    ),
}
"""By provider; the first two are the formats that CoreML reads, the older one on old devices."""
