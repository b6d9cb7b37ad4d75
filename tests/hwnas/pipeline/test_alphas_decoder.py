"""Alphas mean what the decoder of their method says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hwnas.core.registry import part
from hwnas.genotype import read_genotype
from hwnas.pipeline.alphas_decoder import decoder_of
from hwnas.pipeline.search_history import alphas_npz, read_alphas
from hwnas.pipeline.search_history.alphas import write_histories
from hwnas.pipeline.single_training import read_architecture
from hwnas.pipeline.training_options import TrainingOptions
from hwnas.runs.config import SearchConfig
from hwnas.runs.identity import GRADIENT_SEARCH, Identity
from hwnas.runs.run_dir import RunDir
from hwnas.runs.search_run import create_search
from hwnas.spaces import load_space
from targets.errors import DamagedFileError, UsageError

EDGES = [(s, t) for t in range(2, 6) for s in range(t)]
REDUCE = "[('max_pool_3x3', 0), ('max_pool_3x3', 1)" + ", ('max_pool_3x3', 0), ('max_pool_3x3', 1)" * 3 + "]"


def genotype(*normal: str) -> str:
    """Node by node an operation for the edges from 0 and from 1."""
    edges = ", ".join(f"('{op}', 0), ('{op}', 1)" for op in normal)
    ends = f"normal_concat=range(2, 6), reduce={REDUCE}, reduce_concat=range(2, 6)"
    return f"Genotype(normal=[{edges}], {ends})"


@pytest.fixture(scope="module")
def space() -> Any:
    return load_space("darts", image_size=16, in_channels=1, n_classes=10)


@pytest.fixture
def alphas(space: Any, tmp_path: Path) -> Path:
    """Normal cell: skips before sep_conv_3x3 before the rest; reduction: max_pool. Earlier edges first."""
    rows = {}
    for choice in space.choices:
        kind, edge = choice.name.split(".")
        source, target = map(int, edge.split("-"))
        order = 0.01 * EDGES.index((source, target))
        best = {"skip_connect": -0.1, "sep_conv_3x3": -1.0} if kind == "normal" else {"max_pool_3x3": -0.1}
        row = [best.get(option, -6.0) - order for option in choice.options]
        rows[choice.name] = np.array([row], np.float32)
    path = tmp_path / "run" / "alphas.npz"
    path.parent.mkdir()
    path.write_bytes(alphas_npz(rows))
    return path


ALL_SKIPS = genotype(*["skip_connect"] * 4)
# By hand: of all skips the two most probable stay, which are those of the first node; the others become the
# next probable operation, on the two earliest edges.
TWO_SKIPS = genotype("skip_connect", *["sep_conv_3x3"] * 3)


def read(space: Any, alphas: Path, method: str | None = None) -> str:
    return space.key(read_architecture(TrainingOptions(alphas=alphas, method=method), space))


def key(space: Any, text: str) -> str:
    return space.key(space.canonical(read_genotype(space, text)))


def test_p_darts_keeps_two_skips_of_a_normal_cell(space: Any, alphas: Path) -> None:
    assert read(space, alphas) == read(space, alphas, "darts") == key(space, ALL_SKIPS)
    assert read(space, alphas, "p-darts") == key(space, TWO_SKIPS)


def test_the_run_that_alphas_lie_in_says_how_they_are_read(space: Any, alphas: Path, tmp_path: Path) -> None:
    content = alphas.read_bytes()
    with create_search(tmp_path / "whole", SearchConfig(method="p-darts")) as run:
        beside = run.path / "alphas.npz"
    beside.write_bytes(content)
    assert read(space, beside) == key(space, TWO_SKIPS)
    assert read(space, beside, "darts") == key(space, ALL_SKIPS)
    with RunDir.enter(
        tmp_path / "search", Identity(kind=GRADIENT_SEARCH, values={"method": "p-darts"})
    ) as run:
        (run.path / "alphas.npz").write_bytes(content)
    assert read(space, run.path / "alphas.npz") == key(space, TWO_SKIPS)


def test_a_method_of_a_file_is_read_from_it(alphas: Path, tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text('name = "mine"\nbase = "p-darts"\ndecode = { name = "limit_skips", n = 4 }\n')
    assert decoder_of(alphas, str(own)) == part("limit_skips", n=4)
    with (
        RunDir.enter(tmp_path / "search", Identity(kind=GRADIENT_SEARCH, values={"method": "mine"})) as run,
        pytest.raises(UsageError, match=r"search was by 'mine', from a file; give it with --method"),
    ):
        decoder_of(run.path / "alphas.npz", None)


@pytest.mark.parametrize("method", ["enas", "darts-pt"])
def test_what_asks_the_shared_weights_cannot_be_read_from_alphas(
    space: Any, alphas: Path, method: str
) -> None:
    with pytest.raises(UsageError, match="needs the supernet of the search"):
        read(space, alphas, method)


def test_faults_are_said(alphas: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown method 'p-dart'.*did you mean 'p-darts'"):
        decoder_of(alphas, "p-dart")
    (alphas.parent / "question.json").write_text('{"method": "p-darts", "sha256": "0"}')
    with pytest.raises(DamagedFileError, match="does not match its own checksum"):
        decoder_of(alphas, None)
    with pytest.raises(UsageError, match="a method decodes them; give the alphas too"):
        TrainingOptions(architecture=ALL_SKIPS, method="p-darts")


def test_histories_are_read_as_the_alphas_that_they_are(space: Any, alphas: Path, tmp_path: Path) -> None:
    stored = read_alphas(alphas, space)
    names = write_histories(tmp_path, space, stored)
    for name in names:
        read = read_alphas(tmp_path / name, space)
        assert {k: v.tolist() for k, v in read.items()} == {k: v.tolist() for k, v in stored.items()}
    (tmp_path / "alpha_reduce_history.npy").unlink()
    warnings: list[str] = []
    read = read_alphas(tmp_path / "alpha_normal_history.npy", space, warnings.append)
    assert "the reduce cell is taken to be like it; for one of its own put alpha_reduce_history.npy" in (
        " ".join(warnings)
    )
    for choice in space.choices:
        normal = choice.name.replace("reduce", "normal")
        assert read[choice.name].tolist() == stored[normal].tolist()


def test_weights_of_a_network_are_no_alphas(space: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"w": torch.zeros(3)}, path)
    with pytest.raises(DamagedFileError, match=r"cannot be read as \.npz or \.npy"):
        read_alphas(path, space)


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f4', 'shape': (1,", b"{" * 3000, b"{'descr': '<f4'", b"(" * 60]
)
def test_an_array_with_a_damaged_header_is_one_clear_error(space: Any, header: bytes, tmp_path: Path) -> None:
    path = tmp_path / "alpha_normal_history.npy"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(DamagedFileError, match="cannot be read as"):
        read_alphas(path, space)
