"""Trainings that share CUDA devices, with a faked reader: sized, spread, alone after a lack."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hwnas.executors import Done, ExecutorTask, Failed, LocalExecutor, run_all
from hwnas.executors.cards import CONTEXT_BYTES, environment_of
from hwnas.executors.memory import USABLE_SHARE
from hwnas.executors.turns import Turns
from tests.support.executors import result, sleeping

GB = 1_000_000_000


def on_cards(folder: Path, n: int, device: str = "cuda", gb: float = 3.0) -> list[ExecutorTask]:
    """Tasks that say to take `gb` of a card."""
    tasks = [sleeping(folder, f"t{i}", seconds=0.3) for i in range(n)]
    return [replace(task, device=device, device_bytes=lambda: int(gb * GB)) for task in tasks]


@pytest.mark.parametrize(
    ("free_gb", "device", "width"),
    [
        ([10.0], "cuda", 3),  # 3 x 3 GB of 0.9 x 10 GB
        ([10.0, 4.0], "cuda", 4),  # and one on the small card
        ([10.0, 10.0, 10.0], "cuda", 8),  # of eight, three, three and two
        ([10.0, 4.0], "cuda:1", 1),
        ([1.0], "cuda", 1),  # one is always tried
        ([], "cuda", 8),  # nothing is known of the memory
        ([1.0], "cpu", 8),
    ],
)
def test_as_many_as_fit_onto_the_cards(
    free_gb: list[float], device: str, width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.executors.local.available_bytes", lambda: None)
    said: list[str] = []
    executor = LocalExecutor(8, said.append, lambda: [int(gb * GB) for gb in free_gb])
    assert executor.width(on_cards(tmp_path, 20, device)) == width
    assert (width < 8) == any("trainings run side by side" in line for line in said)
    assert all(line.startswith("cuda:") for line in said)


def test_waiting_processes_have_their_own_memory_already(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hwnas.executors.local.available_bytes", lambda: None)
    free = [int(4 * GB / USABLE_SHARE) - 2 * CONTEXT_BYTES + 1]
    with LocalExecutor(2, read_cards=lambda: free) as executor:
        tasks = on_cards(tmp_path, 2, gb=2.0)
        assert executor.width(tasks) == 1
        run_all([sleeping(tmp_path, "a"), sleeping(tmp_path, "b")], executor)
        assert executor.n_idle == 2 and executor.width(tasks) == 2


def test_every_card_gets_its_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,GPU-7")
    with LocalExecutor(2, read_cards=lambda: [9 * GB, 9 * GB]) as executor:
        tasks = on_cards(tmp_path, 2)
        assert run_all(tasks, executor) == [Done()] * 2
    assert {result(task)["cards"] for task in tasks} == {"4", "GPU-7"}


def test_a_card_by_number_is_the_one_that_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert environment_of(None) == {} and environment_of(1) == {"CUDA_VISIBLE_DEVICES": "1"}
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert environment_of(1) == {"CUDA_VISIBLE_DEVICES": "5"}


def test_what_lacked_memory_is_done_again_alone_and_costs_the_others_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    with LocalExecutor(2, said.append) as executor:
        once = sleeping(tmp_path, "once", lacks=1, starts=str(tmp_path / "once.starts"))
        never = sleeping(tmp_path, "never", lacks=9, starts=str(tmp_path / "never.starts"))
        others = [sleeping(tmp_path, f"other{i}", seconds=0.3) for i in range(2)]
        outcomes = run_all([once, others[0], never, others[1]], executor)
    assert outcomes[0] == outcomes[1] == outcomes[3] == Done()
    assert isinstance(outcomes[2], Failed) and "MemoryError" in outcomes[2].reason
    assert len((tmp_path / "once.starts").read_text().split()) == 2
    assert len((tmp_path / "never.starts").read_text().split()) == 2
    assert sum("once more, alone" in line for line in said) == 2


def test_who_is_alone_has_nobody_beside_and_goes_before_those_who_come_later() -> None:
    turns, seen, order = Turns(), set[str](), list[str]()
    begun, end = threading.Event(), threading.Event()

    def work(name: str, turn: Callable[[], object], until: threading.Event | None = None) -> None:
        with turn():  # type: ignore[attr-defined]
            assert not (name == "alone" and seen), seen
            seen.add(name)
            order.append(name)
            begun.set()
            if until is not None:
                assert until.wait(60)
            seen.discard(name)

    first = threading.Thread(target=work, args=("first", turns.beside, end))
    first.start()
    assert begun.wait(60)
    alone = threading.Thread(target=work, args=("alone", turns.alone))
    alone.start()
    while not turns.wanted_alone:
        time.sleep(0)
    later = threading.Thread(target=work, args=("later", turns.beside))
    later.start()
    end.set()
    for thread in (first, alone, later):
        thread.join(60)
    assert order == ["first", "alone", "later"]
