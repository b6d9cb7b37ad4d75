"""The front of another device without a training: its latencies, known accuracies, honest about both."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import cli
from hwnas.commands.documents.schemas import adapter
from hwnas.evaluators.store import EvaluationStore, StoredEvaluation
from hwnas.pipeline.latency_tables import find_devices
from hwnas.pipeline.rank import rank
from hwnas.runs.log import Log
from targets.errors import InfeasibleError, UsageError
from tests.support.finished import keys, space, write_finished, write_table

ACCURACIES = (0.90, 0.80, 0.50, 0.70, 0.85)
TRAINED = {0: (0.95, 0.94, 7.0), 1: (0.88, 0.87, 2.0)}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Searched for a host; on `pi` a 1x1 convolution costs more than a 3x3 one."""
    host = write_table(tmp_path, "host", {"nor3": 0.1, "nor1": 0.02})
    write_table(tmp_path, "pi", {"nor3": 0.2, "nor1": 0.4, "avg": 0.05})
    return write_finished(tmp_path / "run", host, ACCURACIES, TRAINED)


def test_the_front_is_that_of_brute_force_over_what_is_known(run: Path) -> None:
    document = rank(run, "pi", home=run.parent, minutes=0, log=Log(quiet=True))
    rows = document["networks"]
    table = {key: ms for key in space().blocks() for part, ms in _PI.items() if part in key}
    for row in rows:
        blocks = space().block_keys(space().from_string(row["arch"]))
        # 0.1 ms of a network, 1.2 per uncalibrated ms: the calibration of the stored table
        assert row["latency_ms"] == pytest.approx(0.1 + 1.2 * sum(table.get(k, 0.01) for k in blocks))
        assert row["latency_low_ms"] == pytest.approx(row["latency_ms"] / 1.04)
        assert row["latency_high_ms"] == pytest.approx(row["latency_ms"] * 1.04)
    pairs = [(row["latency_ms"], row["val_accuracy_search"]) for row in rows]
    best = {p for p in pairs if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in pairs)}
    assert {(r["latency_ms"], r["val_accuracy_search"]) for r in document["front"]} == best
    assert {r["arch"]: r["val_accuracy_search"] for r in rows} == dict(zip(keys(), ACCURACIES, strict=True))
    kinds = {row["arch"]: row["kind"] for row in rows}
    assert [kinds[key] for key in keys()] == ["trained knee"] * 2 + ["short training"] * 3


_PI = {"nor3": 0.2, "nor1": 0.4, "avg": 0.05}


def test_a_budget_within_the_error_of_the_table_is_unsure(run: Path) -> None:
    free = rank(run, "pi", home=run.parent, minutes=0, log=Log(quiet=True))
    accurate = next(row for row in free["networks"] if row["arch"] == keys()[0])
    for factor, answer in ((1.05, "yes"), (1.01, "unsure"), (0.98, "unsure"), (0.9, "no")):
        budget = f"latency_ms@pi<={factor * accurate['latency_ms']}"
        document = rank(run, "pi", [budget], home=run.parent, minutes=0, log=Log(quiet=True))
        row = next(row for row in document["networks"] if row["arch"] == keys()[0])
        assert row["in_budget"] == answer
        assert (row in document["front"]) == (answer != "no")
        assert (document["chosen"] == row["network"]) == (answer == "yes")


def test_the_command_prints_and_writes_the_front(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["rank", str(run), "--target", "pi", "--home", str(run.parent), "--profile-minutes", "0"]
    assert cli.run([*command, "--csv", str(run / "pi.csv"), "--html", str(run / "pi.html")]) == 0
    printed = capsys.readouterr().out
    assert "trained knee" in printed and "4.0 % for nine networks of ten" in printed
    assert len((run / "pi.csv").read_text().splitlines()) == 1 + len(ACCURACIES)
    page = (run / "pi.html").read_text()
    assert "<script" not in page and "The front on pi" in page and "polyline" in page
    assert cli.run([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["networks_known"] == len(ACCURACIES)
    adapter("rank").validate_python(document)


def test_bad_input_has_one_clear_answer(run: Path, tmp_path: Path) -> None:
    home, quiet = run.parent, Log(quiet=True)
    with pytest.raises(UsageError, match=r"unknown target 'pie'.*devices with stored tables: host, pi"):
        rank(run, "pie", home=home, log=quiet)
    with pytest.raises(UsageError, match="'phone' is no device of this search; known: pi"):
        rank(run, "pi", ["latency_ms@phone<=3"], home=home, minutes=0, log=quiet)
    with pytest.raises(UsageError, match=r"energy_mj.*there is no table of it"):
        rank(run, "pi", ["energy_mj<=3"], home=home, minutes=0, log=quiet)
    two = write_finished(tmp_path / "two", write_table(home, "host", {}), ACCURACIES[:2], {})
    with pytest.raises(InfeasibleError, match=r"none of the 2 known architectures.*the nearest is"):
        rank(two, "pi", ["latency_ms<=0.9"], home=home, minutes=0, log=quiet)
    with pytest.raises(InfeasibleError, match="cannot be met: the least latency_ms"):
        rank(run, "pi", ["latency_ms<=0.01"], home=home, minutes=0, log=quiet)
    with pytest.raises(UsageError, match="no run"):
        rank(tmp_path / "nothing", "pi", home=home, log=quiet)
    (run / "front.json").unlink()
    with pytest.raises(UsageError, match="is not finished; `hwnas search --resume"):
        rank(run, "pi", home=home, log=quiet)


def test_a_table_of_another_batch_size_or_of_other_options_does_not_count(run: Path) -> None:
    home, quiet = run.parent, Log(quiet=True)
    write_table(home, "board", {}, exporter="x, batch 8")
    with pytest.raises(UsageError, match="no latency table on target board"):
        rank(run, "board", home=home, minutes=0, log=quiet)
    with pytest.raises(UsageError, match=r"no latency table on target host.*profile_minutes is 0"):
        rank(run, "host", home=home, minutes=0, log=quiet)  # that of the home says nothing of threads


def test_what_equal_searches_stored_is_known_too(run: Path) -> None:
    other = space().key(space().from_string(":".join(["none"] * 5 + ["nor_conv_3x3"])))
    store = EvaluationStore(run.parent, ("space", "data"), {"seed": 0})
    for key, accuracy in ((other, 0.6), (keys()[0], 0.1)):
        store.add(
            StoredEvaluation(arch=key, metrics={"val_accuracy": accuracy}, cpu_s=1.0, date="2026-01-02")
        )
    front = json.loads((run / "front.json").read_text())
    (run / "front.json").write_text(json.dumps({**front, "store": store.path.name}))
    document = rank(run, "pi", home=run.parent, minutes=0, log=Log(quiet=True))
    known = {row["arch"]: (row["val_accuracy_search"], row["source"]) for row in document["networks"]}
    assert known[other] == (0.6, "store") and known[keys()[0]] == (ACCURACIES[0], "run")


def test_two_devices_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="two of the targets are called 'host'"):
        find_devices(["host", "host"], tmp_path)
