"""Shared weights trained by two parts: what is averaged, what a stop costs, and a whole search by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import cli
import lut
from hwnas import supernets
from hwnas.core.mix import Mix
from hwnas.core.network_space import NetworkSpace
from hwnas.data import Batches, Data, load_data
from hwnas.executors import Done, ExecutorTask, Failed, TaskContext, TaskOutcome
from hwnas.executors.task import OnProgress, work_of
from hwnas.federated.average import average, average_where_trained
from hwnas.federated.calls import Parts
from hwnas.federated.local_supernet import local_paths
from hwnas.federated.parts import DataPart, Federation
from hwnas.federated.supernet_rounds import FederatedWarmup, rounds_of
from hwnas.gradient.warmup import make_supernet
from hwnas.networks.modes import state_of
from hwnas.spaces import load_space
from targets.checksummed import read_checksummed
from targets.errors import HwnasError, TargetError
from tests.support.spaces import TINY_STAGES

from .test_federated_training import write_digits

COUNTS = st.lists(st.lists(st.integers(0, 9), min_size=6, max_size=6), min_size=1, max_size=4)


@given(COUNTS, st.integers(0, 99))
def test_a_weight_is_the_mean_over_the_parts_that_trained_it(counts: list[list[int]], seed: int) -> None:
    """numpy's, number by number; what no part trained stays, and so does what none knows of."""
    rng = np.random.default_rng(seed)
    before, *states = rng.normal(size=(len(counts) + 1, 6))
    got = average_where_trained(
        {"w": torch.tensor(before), "constant": torch.ones(2)},
        [{"w": torch.tensor(state), "constant": torch.zeros(2)} for state in states],
        [{"w": torch.tensor(c, dtype=torch.int32)} for c in counts],
    )
    of_number = np.array(counts).T
    wanted = [
        np.average([s[i] for s in states], weights=of_number[i]) if of_number[i].any() else before[i]
        for i in range(6)
    ]
    np.testing.assert_allclose(got["w"], wanted, atol=1e-12)
    assert bool((got["constant"] == 1).all())


@given(st.lists(st.integers(1, 50), min_size=1, max_size=4))
def test_where_all_parts_trained_all_it_is_federated_averaging(counts: list[int]) -> None:
    states = [{"w": torch.randn(3, 4)} for _ in counts]
    trained = [{"w": torch.full((3, 4), n, dtype=torch.int32)} for n in counts]
    got = average_where_trained({"w": torch.randn(3, 4)}, states, trained)
    assert torch.allclose(got["w"], average(states, counts)["w"], atol=1e-6)


class HereExecutor:
    """Does tasks at once, in this process; those of the parts in `away` fail."""

    def __init__(self, away: Sequence[str] = ()) -> None:
        self.away = away

    def submit(self, task: ExecutorTask, on_progress: OnProgress) -> Future[TaskOutcome]:
        future: Future[TaskOutcome] = Future()
        context = TaskContext(place={}, on_step=lambda done, total: None, log=lambda text: None)
        try:
            if task.name in self.away:
                raise TargetError("it is away")
            work_of(task.kind)(task.document, task.folder, context)
            future.set_result(Done())
        except HwnasError as error:
            future.set_result(Failed(str(error)))
        return future

    def width(self, tasks: Sequence[ExecutorTask]) -> int:
        return 1

    def check(self) -> None:
        pass

    def abort(self) -> None:
        pass


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """public/, and the parts north/ (three classes) and south/ (two of them, and fewer images)."""
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("parts")
    torch.set_num_threads(1)
    labels = load_digits(return_X_y=True)[1]
    own = [np.flatnonzero(labels == k) for k in range(3)]
    write_digits(folder / "public", np.concatenate([o[:30] for o in own]))
    write_digits(folder / "north", np.concatenate([o[30:90] for o in own]))
    write_digits(folder / "south", np.concatenate([o[90:130] for o in own[:2]]))
    (folder / "tiny.toml").write_text(TINY_STAGES)
    tables = "".join(f'[parts.{name}]\ndata = "{name}"\n' for name in ("north", "south"))
    (folder / "parts.toml").write_text(f"wait_s = 300\nmin_parts = 1\n{tables}")
    return folder


@pytest.fixture
def data(place: Path) -> Data:
    return load_data(str(place / "public"), 16, 0, root=place)


@pytest.fixture
def space(place: Path, data: Data) -> NetworkSpace:
    return load_space(str(place / "tiny.toml"), **data.network_shape)


@pytest.fixture
def told() -> list[str]:
    """Warnings of the rounds."""
    return []


@pytest.fixture
def warmup(
    place: Path, data: Data, space: NetworkSpace, tmp_path: Path, told: list[str]
) -> Callable[..., FederatedWarmup]:
    def make(away: Sequence[str] = (), min_parts: int = 1) -> FederatedWarmup:
        names = ("north", "south")
        parts = tuple(DataPart(name=n, data={"spec": str(place / n)}) for n in names)
        asked = Parts(
            federation=Federation(parts=parts, local_epochs=1, min_parts=min_parts, wait_s=100),
            data=data, seed=0, root=str(place), executor=HereExecutor(away), pinned=False,
            log=told.append,
        )  # fmt: skip
        rounds = rounds_of(asked, 10, 16, tmp_path)
        net = make_supernet(space, 0)
        return FederatedWarmup(asked, space, net, n_rounds=rounds, batch_size=16, folder=tmp_path / "rounds")

    return make


def test_images_are_counted_for_the_numbers_that_a_path_trains(data: Data, space: NetworkSpace) -> None:
    """The gradient of one step, taken apart from the training, says which numbers it trains."""
    net, seed = make_supernet(space, 0), 3
    batches = Batches(data, "train", len(data.split("train")), 0)
    before = state_of(net)
    fresh = supernets.make(space)
    fresh.load_state_dict(before)
    arch = space.sample(np.random.default_rng([seed, 0]))
    x, y = batches.at(0)
    fresh.train()
    fresh.to(memory_format=torch.channels_last)
    loss = torch.nn.functional.cross_entropy(
        fresh(x, Mix.one_hot(space.choices, arch)), y, label_smoothing=0.1
    )
    loss.backward()
    facts, trained = local_paths(net, space, data, batches, seed=seed, epochs=range(1), n_epochs=1)
    assert facts["steps"] == 1 and facts["n_train"] == len(data.split("train"))
    after = state_of(net)
    for name, p in fresh.named_parameters():
        reached = torch.zeros_like(p, dtype=torch.bool) if p.grad is None else p.grad != 0
        assert torch.equal(trained[name] > 0, reached), name
        assert set(trained[name].unique().tolist()) <= {0, facts["n_train"]}
        decayed = 0.3 * 4e-5 * 1.9 * before[name].abs() + 1e-7
        assert bool(((after[name] - before[name]).abs() <= decayed)[~reached].all()), name
    kinds = torch.cat([t.flatten() for t in trained.values()]) > 0
    assert 0 < int(kinds.sum()) < len(kinds)  # some are trained, and some are not


def test_a_stop_between_rounds_changes_nothing(warmup: Callable[..., FederatedWarmup]) -> None:
    whole, first, second = warmup(), warmup(), warmup()
    kept: list[tuple[dict[str, Tensor], dict[str, Any]]] = []
    whole.run(save=lambda step, *state: kept.append(state))
    assert len(kept) == whole.loop.steps == 2  # 6 and 4 steps in a pass: 10 are two rounds
    first.run(until=1)
    second.load(*first.state())
    second.run()
    for name, tensor in state_of(whole.supernet).items():
        assert torch.equal(tensor, state_of(second.supernet)[name]), name
    assert second.attendance == [["north", "south"]] * 2
    assert [row["step"] for row in second.log] == [6, 12]
    halfway = state_of(first.supernet)
    assert any(not torch.equal(t, halfway[name]) for name, t in state_of(whole.supernet).items())
    assert [row["train_loss"] for row in second.log] == [row["train_loss"] for row in whole.log]


def test_a_part_that_is_away_is_left_out_and_too_few_end_it(
    warmup: Callable[..., FederatedWarmup], told: list[str]
) -> None:
    alone = warmup(away=("south",))
    alone.run(until=1)
    assert alone.attendance == [["north"]]
    assert any("goes on without part south: it is away" in text for text in told)
    too_few = "1 of 2 parts came, and min_parts is 2; what was done before is kept"
    with pytest.raises(TargetError, match=too_few):
        warmup(away=("south",), min_parts=2).run()


@pytest.fixture
def words(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A search on the parts, in which one network costs 1 ms."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HWNAS_HOME", str(tmp_path / "home"))
    measured = lut.Measurement(1.0, 1.0, 1.0, 1.0, 1.0, "wall", "ok", 30)
    monkeypatch.setattr(lut, "measure", lambda target, files, **more: dict.fromkeys(files, measured))
    return [
        *("search", "--federated", str(place / "parts.toml"), "--evaluator", "shared-weights"),
        *("--data", str(place / "public"), "--image-size", "16", "--space", str(place / "tiny.toml")),
        *("--objective", "val_accuracy", "--objective", "macs", "--budget", "macs<=3000000"),
        *("--supernet-steps", "10", "--batch-size", "16", "--population", "4", "--generations", "1"),
        *("--picks", "1", "--random-baselines", "0", "--train-epochs", "2"),
        *("--workers", "1", "--out", "run", "--json"),
    ]


@pytest.mark.slow
def test_a_search_on_parts_goes_on_after_the_last_whole_round(
    words: list[str], place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[int] = []

    def then_stop(*states: Any) -> dict[str, Tensor]:
        called.append(1)
        if len(called) == 2:
            raise KeyboardInterrupt
        return average_where_trained(*states)

    with monkeypatch.context() as context:
        context.setattr("hwnas.federated.supernet_rounds.average_where_trained", then_stop)
        assert cli.run(words) == 130
    parts, elsewhere = place / "parts.toml", (place / "parts.toml").read_text()
    parts.write_text(elsewhere.replace('data = "south"', 'data = "public"'))
    assert cli.run(["search", "--resume", "run"]) == 2
    assert "names other parts than when this run began" in capsys.readouterr().err

    parts.write_text(elsewhere)
    monkeypatch.setattr("hwnas.federated.supernet_rounds.average_where_trained", then_stop)
    assert cli.run(["search", "--resume", "run", "--json"]) == 0
    assert len(called) == 3  # one before the stop, one that it cost, one after it
    front = json.loads(capsys.readouterr().out)["front"]
    assert front["evaluator"] == "shared-weights"
    stage = json.loads(Path("run/stages/supernet.json").read_text())
    assert [sorted(names) for names in stage["result"]["rounds"]] == [["north", "south"]] * 2
    (trained,) = Path("run/training").iterdir()
    facts = read_checksummed(trained / "parts.json", "parts")
    assert sorted(facts["parts"]) == ["north", "south"] and len(facts["rounds"]) == 2
    job = read_checksummed(trained / "result.json", "training")["job"]
    assert sorted(job["federated"]["parts"]) == ["north", "south"]
    theirs = {path.name for name in ("north", "south") for path in (place / name).rglob("*.png")}
    assert not theirs & {path.name for path in Path("run").rglob("*")}  # what came are weights and figures


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--evaluator", "short-training"), "give --evaluator shared-weights"),
        (("--search-steps", "20"), "--search-steps: it trains on the images of --data alone"),
        (("--repeats", "3"), "--repeats: it trains on the images of --data alone"),
        (("--recipe", "strong"), "--ema: in federated averaging each part trains for itself"),
        (("--minutes", "5"), "--minutes promises a time"),
        (("--task", "regression"), "--federated learns classes, and --task is regression"),
        (("--federated", "none.toml"), "none.toml"),
    ],
)
def test_what_parts_cannot_search_by_is_refused(
    words: list[str], more: tuple[str, ...], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run([*words, *more]) == 2
    assert told in capsys.readouterr().err and not Path("run").exists()
