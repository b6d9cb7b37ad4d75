"""Search history on the toy cells: alphas there and back, drawings, trackers installed or not."""

from __future__ import annotations

import types
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwnas.genotype.edges import edges_of
from hwnas.gradient.methods import METHODS
from hwnas.pipeline.search_history import TRACKERS, alphas_npz, arch_at, check_trackers, read_alphas
from hwnas.pipeline.search_history.drawings import drawings
from hwnas.report.cells import cell_dot, cell_svg
from hwnas.spaces import load_space
from targets.errors import DamagedFileError, UsageError


@pytest.fixture(scope="module")
def space() -> Any:
    return load_space("nasbench201", image_size=16, in_channels=1, n_classes=10)


def alphas_of(space: Any, archs: Sequence[tuple[int, ...]]) -> dict[str, np.ndarray]:
    """Alphas whose best option after each epoch is that of the architecture."""
    return {
        c.name: np.log([[0.9 if k == a[i] else 0.025 for k in range(5)] for a in archs]).astype(np.float32)
        for i, c in enumerate(space.choices)
    }


def test_the_architecture_of_an_epoch_comes_back(space: Any, tmp_path: Path) -> None:
    archs: list[tuple[int, ...]] = [(3, 3, 1, 2, 1, 4), (1, 3, 3, 3, 3, 3)]
    path = tmp_path / "alphas.npz"
    path.write_bytes(alphas_npz(alphas_of(space, archs)))
    read = read_alphas(path, space)
    assert [arch_at(space, read, n) for n in (1, 2, None)] == [archs[0], archs[1], archs[1]]
    with pytest.raises(UsageError, match="epoch 3 is not among the 2"):
        arch_at(space, read, 3)


def test_alphas_of_another_space_and_damaged_ones_are_refused(space: Any, tmp_path: Path) -> None:
    other = load_space("darts", image_size=16, in_channels=1, n_classes=10)
    path = tmp_path / "alphas.npz"
    path.write_bytes(alphas_npz(alphas_of(space, [(0,) * 6])))
    with pytest.raises(UsageError, match="not of space darts, which has 28 choices"):
        read_alphas(path, other)
    for content in (b"", b"PK\x03\x04 torn", path.read_bytes()[:100]):
        path.write_bytes(content)
        with pytest.raises(DamagedFileError, match=r"give alphas\.npz of a search"):
            read_alphas(path, space)
    with pytest.raises(UsageError, match="there is no such file"):
        read_alphas(tmp_path / "gone.npz", space)


def test_a_cell_is_drawn_with_every_edge_and_hostile_names_stay_text(space: Any) -> None:
    cells = edges_of(space, (3, 3, 1, 2, 1, 4))
    dot, svg = cell_dot(cells, 1, 'a "title"'), cell_svg(cells, 1, "<script>")
    assert dot.count("->") == 6 and '"a \\"title\\""' in dot
    root = ET.fromstring(svg)
    names = [t.text for t in root.iter("{http://www.w3.org/2000/svg}text")]
    assert sorted(n for n in names if n and "_" in n and "{" not in n) == sorted(cells["cell"].values())
    assert "c_{k-1}" in names and "<script>" not in svg


def test_spaces_of_layers_are_drawn_by_their_blocks() -> None:
    mobile = load_space("mobile", image_size=32, in_channels=3, n_classes=10)
    found = drawings(mobile, mobile.sample(np.random.default_rng(0)), "m")
    assert found["dot"].startswith('digraph "m"') and found["svg"].startswith("<svg")


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        UsageError, match=r"needs mlflow, which is not installed; `pip install 'hwnas\[mlflow\]'"
    ):
        check_trackers(["mlflow"])


def test_trackers_get_the_numbers_of_every_epoch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[Any, ...]] = []

    class Writer:
        def __init__(self, folder: str) -> None:
            seen.append(("open", Path(folder).name))

        def add_text(self, key: str, text: str) -> None:
            seen.append((key, text))

        def add_scalar(self, key: str, value: float, step: int) -> None:
            seen.append((key, value, step))

        def add_hparams(self, options: dict[str, str], figures: dict[str, float], run_name: str) -> None:
            seen.append((run_name, options, figures))

        def close(self) -> None:
            seen.append(("close",))

    fake = types.SimpleNamespace(SummaryWriter=Writer)
    monkeypatch.setattr("hwnas.pipeline.search_history.trackers.importlib.import_module", lambda name: fake)
    tracker = TRACKERS["tensorboard"].open(tmp_path, "run", {"seed": 1})
    tracker.epoch(3, {"val_loss": 0.5})
    tracker.result({"space": "mobile"}, {"chosen/test_accuracy": 0.9})
    (tmp_path / "front.csv").write_text("arch_id,pick\na1,knee\n")
    tracker.artefact(tmp_path / "front.csv", ".")
    tracker.close()
    assert seen == [
        ("open", "tensorboard"),
        ("search", "- seed: 1"),
        ("val_loss", 0.5, 3),
        ("options", {"space": "mobile"}, {"chosen/test_accuracy": 0.9}),
        ("files/front.csv", "arch_id|pick\n---|---\na1|knee"),
        ("close",),
    ]


def test_alphas_are_decoded_as_the_method_of_the_search_does() -> None:
    """P-DARTS keeps two skips in the normal cell; skips everywhere are the most probable here."""
    space: Any = load_space("darts", image_size=16, in_channels=1, n_classes=10)
    skip, conv = space.operations.index("skip_connect"), space.operations.index("sep_conv_3x3")
    alphas = {c.name: np.full((1, len(c.options)), -5.0, np.float32) for c in space.choices}
    for array in alphas.values():
        array[0, [skip, conv]] = -1.0, -2.0
    free = arch_at(space, alphas)
    kept = arch_at(space, alphas, None, METHODS["p-darts"].decode)
    counted = [
        sum(c.name.startswith("normal") and i == skip for c, i in zip(space.choices, arch, strict=True))
        for arch in (free, kept)
    ]
    assert counted == [2 * len(space.wiring.nodes), 2]
    with pytest.raises(
        UsageError, match=r"decoding by sample_and_rank\(n=10\) needs the supernet of the search"
    ):
        arch_at(space, alphas, None, METHODS["enas"].decode)
