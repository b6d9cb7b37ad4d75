"""The searchers in the users' words, on digits and tiny cells."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch

import hwnas
from hwnas.costs.cost_model import CostModel
from hwnas.genotype import read_genotype
from hwnas.pipeline.gradient_search import make_search
from hwnas.pipeline.searchers import (
    DARTSSearcher,
    ENASSearcher,
    PCDARTSSearcher,
    PDARTSSearcher,
    ProxylessNASSearcher,
    Searcher,
)
from hwnas.pipeline.single_training import train_architecture
from hwnas.pipeline.spellings import open_data, space_for
from hwnas.pipeline.training_options import TrainingOptions
from hwnas.runs.training_device import on_found_device
from hwnas.spaces import load_space
from hwnas.training.recipe import Recipe
from targets import Target
from targets.errors import InfeasibleError, UsageError

pytestmark = pytest.mark.slow


TINY: dict[str, Any] = {
    "dataset": "digits",
    "image_size": 16,
    "limit": 120,
    "epochs": 2,
    "batch_size": 24,
    "cells": 2,
    "channels": 4,
}
GENOTYPE = (
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('max_pool_3x3', 0), ('skip_connect', 1), "
    "('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), ('skip_connect', 1)], "
    "normal_concat=range(2, 6), reduce=[('max_pool_3x3', 0), ('skip_connect', 1), ('skip_connect', 0), "
    "('skip_connect', 2), ('skip_connect', 1), ('skip_connect', 2), ('skip_connect', 0), "
    "('skip_connect', 2)], reduce_concat=range(2, 6))"
)


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    torch.set_num_threads(1)


def test_the_names_come_from_the_package_and_import_stays_light() -> None:
    for name in hwnas.__all__:
        assert getattr(hwnas, name).__name__ == name
    code = "import hwnas, sys; print({'torch', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
    with pytest.raises(AttributeError, match="SNASSearcher"):
        hwnas.SNASSearcher  # noqa: B018  (the access is what raises)


def test_a_search_leaves_its_history_and_is_not_made_twice(tmp_path: Path) -> None:
    searcher = DARTSSearcher(**TINY, search_space="darts_space", out=tmp_path / "run", alpha_history=True)
    found = searcher.search()
    space = load_space("darts", image_size=16, in_channels=1, n_classes=10)
    assert space.key(read_genotype(space, found.architecture)) == found.key
    assert (found.method, found.search_space, found.epochs) == ("darts", "darts", 2)
    assert set(found.costs) == {"macs", "params", "size_mb", "peak_memory_mb"}
    with (found.folder / "train_stats.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [r["epoch"] for r in rows] == ["1", "2"]
    for column in ("train_loss", "val_loss", "val_accuracy", "expected_macs", "entropy", "skips"):
        assert np.isfinite(float(rows[-1][column])), column
    with np.load(found.folder / "alphas.npz", allow_pickle=False) as alphas:
        assert np.exp(alphas["normal.0-2"]).sum(1) == pytest.approx(1, abs=1e-5)
        normal = np.load(found.folder / "alpha_normal_history.npy", allow_pickle=False)
        assert normal.shape == (2, 14, 8)
        assert (normal[:, 0] == alphas["normal.0-2"]).all()
    assert np.load(found.folder / "alpha_reduce_history.npy", allow_pickle=False).shape == (2, 14, 8)
    last = (found.folder / "genotypes" / "epoch-0002.txt").read_text()
    assert last == found.architecture + "\n"  # what DARTS decodes is the architecture of the last epoch
    assert (found.folder / "genotypes" / "epoch-0001.svg").read_text().startswith("<svg")
    stamp = (found.folder / "alphas.npz").stat().st_mtime_ns
    (found.folder / "alpha_normal_history.npy").unlink()
    assert searcher.search() == found
    assert (found.folder / "alpha_normal_history.npy").exists()
    assert (found.folder / "alphas.npz").stat().st_mtime_ns == stamp
    with pytest.raises(UsageError, match="seed: the run has 0, asked for 1"):
        replace(searcher, seed=1).search()


def test_a_search_that_was_stopped_goes_on_to_the_same_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.pipeline.stages.SAVE_EVERY", 2)
    searcher = DARTSSearcher(**TINY, search_space="nasbench201", out=tmp_path / "whole")
    whole = searcher.search()
    from hwnas.pipeline.search_history import Recorder

    def stop(self: Recorder, step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "on_step", stop)
        with pytest.raises(KeyboardInterrupt):
            replace(searcher, out=tmp_path / "cut").search()
    cut = replace(searcher, out=tmp_path / "cut").search()
    assert cut == replace(whole, folder=tmp_path / "cut")
    assert (tmp_path / "cut/alphas.npz").read_bytes() == (tmp_path / "whole/alphas.npz").read_bytes()
    names = {p.name for p in (tmp_path / "whole" / "genotypes").iterdir()}
    assert {p.name for p in (tmp_path / "cut" / "genotypes").iterdir()} == names


@pytest.mark.parametrize(
    ("searcher", "row"),
    [
        (PCDARTSSearcher(**TINY), "pc-darts"),
        (
            ENASSearcher(**{**TINY, "search_space": "enas_macro", "cells": None, "channels": None}),
            "enas-macro",
        ),
        (PDARTSSearcher(**TINY), "p-darts"),
        (DARTSSearcher(**TINY, method="darts-2"), "darts-2"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_searcher_is_a_row_of_the_table(searcher: Searcher, row: str) -> None:
    assert searcher.row().name == row


def test_the_policy_learns_from_the_share_of_images_that_the_paper_gives_it(tmp_path: Path) -> None:
    """DARTS halves the images that do not test; a user may ask for another share."""
    for share, steps in ((None, 2), (0.25, 3)):
        found = DARTSSearcher(**TINY | {"val_share": share, "epochs": 1}, out=tmp_path / f"{steps}").search()
        with (found.folder / "train_stats.csv").open() as file:
            assert [int(row["step"]) for row in csv.DictReader(file)] == [steps]


def test_a_search_of_the_published_length_has_the_published_rate(tmp_path: Path) -> None:
    """PC-DARTS: 6e-4 for 50 epochs, however few steps they have; a shorter search a larger one."""
    for epochs, published in ((None, True), (50, True), (5, False)):
        asked = PCDARTSSearcher(**TINY | {"epochs": epochs, "search_space": "nasbench201"})
        data = open_data("digits", None, 16, 0, home=tmp_path, limit=120, download=False)
        space = space_for(asked.space_name, data)
        scale = replace(space.search_scale, cells=1, channels=4)
        search = make_search(on_found_device(asked), space, scale, data, CostModel(space))
        rate = search.arch_optimizer.param_groups[0]["lr"]
        assert (rate == 6e-4) == published and rate >= 6e-4
        assert search.loop.steps == (epochs or 50) * search.loop.epoch_steps


def test_a_budget_on_energy_is_met_by_a_table_of_the_user(tmp_path: Path) -> None:
    """Every block 1 mJ: what is saved is blocks. 33 of 33 edges of 3 x 5 cells would be 90 mJ and more."""
    space = load_space("nasbench201", image_size=16, in_channels=1, n_classes=10)
    path = tmp_path / "energy.csv"
    path.write_text("key,energy_mj\n" + "".join(f"{key},1\n" for key in space.blocks()))
    asked = {**TINY, "search_space": "nasbench201", "epochs": 1, "energy_table": path}
    found = DARTSSearcher(**asked, budgets=("energy_mj<=30",), out=tmp_path / "run").search()
    arch = space.from_string(found.key)
    assert found.costs["energy_mj"] == len(space.block_keys(arch)) <= 30
    assert DARTSSearcher(**asked, budgets=("energy_mj<=30",), out=tmp_path / "run").search() == found


def test_proxyless_warms_up_where_its_weights_are_fresh(tmp_path: Path) -> None:
    """40 of 160 epochs: the first of four here."""
    asked = {k: v for k, v in TINY.items() if k not in ("cells", "channels")}
    found = ProxylessNASSearcher(**asked | {"epochs": 4, "val_share": 0.5}, out=tmp_path / "run").search()
    with (found.folder / "train_stats.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4
    with np.load(found.folder / "alphas.npz", allow_pickle=False) as alphas:
        history = alphas["stage2.0"]
    assert np.allclose(history[0], -np.log(6), atol=0.02) and not np.array_equal(history[0], history[-1])


def test_partial_channels_search_through_the_same_door() -> None:
    found = PCDARTSSearcher(**{**TINY, "epochs": 1}).search()
    assert found.method == "pc-darts"
    assert found.folder.name.startswith("pc-darts-darts-digits-")


def test_weights_become_the_additive_objective() -> None:
    searcher = ProxylessNASSearcher(latency_constraint=100, accuracy_weight=0.7, latency_weight=0.3)
    term = searcher.objective()
    assert term is not None
    assert (term.name, term.keywords["weight"]) == ("add", pytest.approx(3 / 7))
    assert [str(b) for b in searcher.all_budgets()] == ["latency_ms<=100"]
    assert ProxylessNASSearcher(latency_constraint=100).objective() is None


def test_a_found_cell_is_trained_exported_and_read_again(tmp_path: Path) -> None:
    recipe = Recipe.evaluation(epochs=2, batch_size=24)
    asked = TrainingOptions(
        architecture=GENOTYPE, dataset="digits", image_size=16, limit=120, cells=2, channels=4,
        epochs=2, batch_size=24, out=tmp_path / "final",
    )  # fmt: skip
    trained = train_architecture(asked)
    onnx.checker.check_model(onnx.load(trained.onnx), full_check=True)
    result = json.loads((trained.folder / "result.json").read_text())
    assert result["job"]["network"]["auxiliary"] is True
    assert result["job"]["recipe"] == asdict(recipe)
    manifest = json.loads((trained.folder / "model" / "manifest.json").read_text())
    assert "auxiliary" not in manifest["network"]
    assert manifest["test_accuracy"] == trained.test_accuracy
    stamp = (trained.folder / "weights.safetensors").stat().st_mtime_ns
    assert train_architecture(asked) == trained
    assert (trained.folder / "weights.safetensors").stat().st_mtime_ns == stamp


def test_an_evaluation_counts_what_the_network_counts() -> None:
    evaluator = hwnas.ArchitectureEvaluator(image_size=16, limit=120, cells=2, channels=4)
    found = evaluator.evaluate_architecture(
        architecture=GENOTYPE, dataset="digits", metrics=["flops", "params"]
    )
    space = load_space("darts", image_size=16, in_channels=1, n_classes=10, cells=2, channels=4)
    net = space.build(read_genotype(space, GENOTYPE))
    assert found.params == sum(p.numel() for p in net.parameters())
    from hwnas.networks.flops import counter_macs

    # torch counts no additions of skips and no poolings; ours does not either
    assert found.flops == pytest.approx(2 * counter_macs(net, (1, 16, 16)))
    assert found.accuracy is found.latency_ms is None


def test_an_evaluation_measures_what_an_int8_target_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def measure(target: Target, files: dict[str, bytes], **_: Any) -> dict[str, Any]:
        seen.extend(files.values())
        return {key: SimpleNamespace(p50_ms=1.5) for key in files}

    monkeypatch.setattr("lut.measure", measure)
    evaluator = hwnas.ArchitectureEvaluator(
        target_platform="host-int8", image_size=16, limit=120, cells=2, channels=4
    )
    found = evaluator.evaluate_architecture(GENOTYPE, "digits", ["latency"])
    assert found.latency_ms == 1.5
    assert "QuantizeLinear" in {node.op_type for node in onnx.load_from_string(seen[0]).graph.node}


def test_two_architectures_are_evaluated_in_one_folder(tmp_path: Path) -> None:
    evaluator = hwnas.ArchitectureEvaluator(
        image_size=16, limit=120, cells=2, channels=4, epochs=1, batch_size=24, out=tmp_path / "out"
    )
    other = GENOTYPE.replace("sep_conv_3x3", "max_pool_3x3")
    for genotype in (GENOTYPE, other):
        accuracy = evaluator.evaluate_architecture(genotype, "digits", ["accuracy"]).accuracy
        assert accuracy is not None and 0 <= accuracy <= 1
    assert len(list((tmp_path / "out").iterdir())) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: DARTSSearcher(**TINY, method="dart").search(),
            "unknown method 'dart'; known",
        ),
        (lambda: DARTSSearcher(**TINY, search_space="dart_space").search(), "unknown space 'dart_space'"),
        (lambda: DARTSSearcher(dataset="imagenet").search(), "'imagenet' cannot be downloaded; give path="),
        (lambda: DARTSSearcher(dataset="imagenet", path="gone").search(), "path 'gone' does not exist"),
        (lambda: DARTSSearcher(dataset="digits", epochs=0), "epochs is 0; allowed: 1 to 10,000"),
        (lambda: DARTSSearcher(accuracy_weight=0.7), "accuracy_weight and latency_weight together"),
        (lambda: DARTSSearcher(budgets=("energy_mj<=1",)), "a budget on energy_mj needs an energy_table"),
        (lambda: DARTSSearcher(latency_constraint=-1), "latency_constraint is -1; allowed: above 0"),
        (
            lambda: DARTSSearcher(**TINY | {"latency_constraint": "100"}),
            "latency_constraint is '100'; allowed: numbers above 0",
        ),
        (lambda: DARTSSearcher(**TINY, val_share=1.0).search(), "val_share is 1.0; allowed: above 0 and"),
        (lambda: DARTSSearcher(**TINY, val_share=0).search(), "val_share is 0; allowed: above 0 and below 1"),
        (lambda: DARTSSearcher(accuracy_weight=1, latency_weight=1), "needs a latency_constraint"),
        (
            lambda: PCDARTSSearcher(**TINY | {"search_space": "mobile"}).search(),
            "method pc-darts works on the edges or the depth of cells, which space mobile",
        ),
        (
            lambda: DARTSSearcher(**TINY, trackers=("tensorbord",)).search(),
            "unknown tracker 'tensorbord'; known",
        ),
        (lambda: DARTSSearcher(**TINY, target_platform="fone").search(), "fone"),
        (
            lambda: ENASSearcher(**TINY | {"search_space": "enas_macro", "cells": 4}).search(),
            "space enas-macro has 12 layers when it is searched, not 4",
        ),
        (
            lambda: DARTSSearcher(**TINY | {"search_space": "mobile"}).search(),
            "searched at the scale it is deployed at; leave out cells and channels",
        ),
        (
            lambda: DARTSSearcher(**TINY).train_final_architecture("Genotype(normal=[("),
            "is no genotype",
        ),
        (
            lambda: DARTSSearcher(**TINY).train_final_architecture("|nor_conv_3x3~0|+|none~0|none~1|"),
            "string of NAS-Bench-201 has one kind of cell",
        ),
        (
            lambda: DARTSSearcher(**TINY | {"search_space": "nasbench201"}).train_final_architecture(
                "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
            ),
            "in this network of nasbench201 the image does not reach the classifier",
        ),
        (
            lambda: hwnas.ArchitectureEvaluator().evaluate_architecture(GENOTYPE, "digits", ["speed"]),
            "unknown metric 'speed'",
        ),
        (
            lambda: hwnas.ArchitectureEvaluator().evaluate_architecture(GENOTYPE, "imagenet"),
            "cannot be downloaded; give path=",
        ),
        (lambda: TrainingOptions(), "either a genotype or the alphas"),
        (lambda: TrainingOptions(architecture=GENOTYPE, epoch=3), "an epoch chooses among alphas"),
        (
            lambda: TrainingOptions(architecture=GENOTYPE, method="p-darts"),
            "a method decodes them; give the alphas",
        ),
    ],
)
def test_bad_input_is_one_clear_error(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        make()


def test_an_impossible_budget_is_refused_before_a_folder_is_made(tmp_path: Path) -> None:
    with pytest.raises(InfeasibleError, match="budget macs<=1 cannot be met"):
        DARTSSearcher(**TINY, budgets=("macs<=1",)).search()
    assert not (tmp_path / "runs").exists()


def test_a_space_without_a_table_says_how_to_get_one() -> None:
    searcher = ProxylessNASSearcher(
        **{k: v for k, v in TINY.items() if k not in ("cells", "channels")},
        target_platform="mobile",
        latency_constraint=100,
        profile_minutes=0,
    )
    with pytest.raises(
        UsageError, match=r"proxyless .* has no latency table on target android.*hwnas profile"
    ):
        searcher.search()
