"""An 8-bit file in fewer bytes is the same network: same answers, same kernels, names of layers kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from hwnas.exporting.compact import compact
from hwnas.exporting.export import onnx_bytes
from hwnas.spaces import load_space
from lut.predictor.models.quantise import quantised
from targets.int8_form import UINT8


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes]:
    """A network of `mobile` with gates and hard-swish in float and in 8 bits."""
    space = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
    module = space.build(space.sample(np.random.default_rng(2)))
    model = onnx_bytes(module, (1, 3, 32, 32))
    return model, quantised(model, UINT8)


def optimised(model: bytes, path: Path) -> tuple[np.ndarray, Counter[str]]:
    """The answer to one image, and the operators that the runtime makes of the file."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.optimized_model_filepath = str(path)
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    image = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    (answer,) = session.run(None, {"image": image})
    return answer, Counter(node.op_type for node in onnx.load(path).graph.node)


def test_answers_and_kernels_are_the_same_and_a_third_of_the_file_is_gone(
    files: tuple[bytes, bytes], tmp_path: Path
) -> None:
    _, int8_file = files
    small = compact(int8_file)
    onnx.checker.check_model(onnx.load_model_from_string(small), full_check=True)
    before, after = optimised(int8_file, tmp_path / "a.onnx"), optimised(small, tmp_path / "b.onnx")
    np.testing.assert_array_equal(before[0], after[0])
    assert before[1] == after[1]
    assert len(small) < 0.75 * len(int8_file)
    assert compact(small) == small


def test_layers_and_what_an_app_feeds_keep_their_names(files: tuple[bytes, bytes]) -> None:
    before = onnx.load_model_from_string(files[1]).graph
    after = onnx.load_model_from_string(compact(files[1])).graph
    for held in (before, after):
        assert [v.name for v in (*held.input, *held.output)] == ["image", "logits"]
    layers = [[n.name for n in g.node if "Linear" not in n.op_type] for g in (before, after)]
    assert layers[0] == layers[1]
    conversions = [node.name for node in after.node if "Linear" in node.op_type]
    assert len(set(conversions)) == len(conversions) and not set(conversions) & set(layers[1])


def test_numbers_are_stored_once(files: tuple[bytes, bytes]) -> None:
    weights = onnx.load_model_from_string(compact(files[1])).graph.initializer
    arrays = [(w.data_type, tuple(w.dims), onnx.numpy_helper.to_array(w).tobytes()) for w in weights]
    contents = Counter(arrays)
    assert max(contents.values()) == 1
