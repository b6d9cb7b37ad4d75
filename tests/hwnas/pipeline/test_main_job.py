"""The main job on real data with real sessions, small enough for a minute: what it leaves, and kill -9.

The space is tiny and images are digits at 16 px; nothing is replaced by a stand-in.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from safetensors.numpy import load_file

from hwnas.data import load_data
from targets.files import sha256
from tests.support.interrupts import interrupt
from tests.support.main_jobs import LAUNCH, STAGES, hurry, run_here

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[3]
SMALL = [
    *("--data", "digits", "--image-size", "16", "--picks", "2", "--random-baselines", "1"),
    *("--train-epochs", "2", "--seed", "3", "--profile-minutes", "3"),
]
TRAINED = [
    *("--supernet-steps", "60", "--search-steps", "20", "--evaluations", "10", "--population", "4"),
    *("--eval-epochs", "1", "--workers", "2"),
]
"""A search by short trainings that also has the seeds of a gradient search."""
SHARED = [
    *("--evaluator", "shared-weights", "--supernet-steps", "60", "--search-steps", "20"),
    *("--population", "8", "--generations", "3", "--workers", "1"),
]


class Place:
    """A data home and a stage file that all runs of this module share."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "tiny.toml").write_text(STAGES)

    def command(self, *arguments: str, home: str = "home") -> list[str]:
        return [sys.executable, "-c", LAUNCH, "search", *arguments, "--home", str(self.folder / home)]

    def words(self, out: Path, *budgets: str, work: list[str] = TRAINED) -> list[str]:
        """Of a new search."""
        limits = [word for budget in budgets or ("latency_ms<=5000",) for word in ("--budget", budget)]
        return [*SMALL, *work, *limits, "--space", str(self.folder / "tiny.toml"), "--out", str(out)]

    def here(self, *words: str, code: int = 0) -> str:
        """What a command in this process says."""
        return run_here(self.folder, *words, code=code, device=hurry).stderr

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, timeout=3600
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("main-job"))


@pytest.fixture(scope="module")
def whole(place: Place) -> Path:
    """An uninterrupted run."""
    out = place.folder / "whole"
    done = place.run(place.command(*place.words(out)))
    assert done.returncode == 0, done.stderr
    return out


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def front(run: Path) -> dict:
    document: dict = json.loads((run / "front.json").read_text())
    return document


def test_it_leaves_what_the_design_says(whole: Path) -> None:
    names = ["config.toml", "config.resolved.json", "env.json", "splits.json", "study.db", "train_stats.csv"]
    names += ["alphas.npz", "evaluated.json", "supernet.safetensors", "table.json"]
    for name in [*names, "front.csv", "front.json", "report.html"]:
        assert (whole / name).stat().st_size > 0, name
    assert not list((whole / "checkpoints").glob("supernet*"))
    rows = read_csv(whole / "train_stats.csv")
    assert {r["stage"] for r in rows} == {"supernet", "search"}
    points = front(whole)["points"]
    assert {p["origin"] for p in points} >= {"front", "random"}
    columns = read_csv(whole / "front.csv")
    assert len(columns) == len(points)
    assert {"predicted_latency_ms", "measured_latency_p50_ms", "measured_test_accuracy"} <= columns[0].keys()


def test_every_model_is_checked_and_says_how_to_feed_it(whole: Path, place: Place) -> None:
    models = sorted(folder for folder in (whole / "models").iterdir() if not folder.is_symlink())
    assert len(models) >= 3
    data = load_data(
        "digits", 16, 3, root=place.folder / "home", splits=json.loads((whole / "splits.json").read_text())
    )
    images, labels = data.images(data.split("test")), data.labels[data.split("test")]
    points = {p["arch_id"]: p for p in front(whole)["points"]}
    for folder in models:
        manifest = json.loads((folder / "manifest.json").read_text())
        for name, expected in manifest["files"].items():
            assert sha256(folder / name) == expected
        model = onnx.load(folder / "model.onnx")
        onnx.checker.check_model(model, full_check=True)
        meta = {p.key: p.value for p in model.metadata_props}
        # An app developer's view: only what the file says, no hwnas.
        mean, std = (np.array(json.loads(meta[k]), np.float32).reshape(1, -1, 1, 1) for k in ("mean", "std"))
        session = ort.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
        x = (images.numpy().astype(np.float32) * float(meta["scale"]) - mean) / std
        logits = np.concatenate(
            [session.run(None, {meta["input_name"]: x[i : i + 1]})[0] for i in range(len(x))]
        )
        accuracy = float((logits.argmax(1) == labels).mean())
        assert accuracy == pytest.approx(points[folder.name]["measured"]["test_accuracy"])
        assert json.loads(meta["class_names"]) == [str(d) for d in range(10)]
        latency = manifest["latency"]
        assert latency["context"]["hash"] and latency["latency_p50_ms"] > 0 and latency["measured"]


def test_picks_are_inside_the_budget_as_measured(whole: Path) -> None:
    document = front(whole)
    (budget,) = document["budgets"]
    picks = [p for p in document["points"] if p["pick"]]
    assert picks
    chosen = next(p for p in document["points"] if p["arch_id"] == document["chosen"])
    assert chosen in picks
    candidates = json.loads((whole / "stages" / "candidates.json").read_text())["result"]["picks"]
    assert all(c["measured"]["latency_ms"]["p50_ms"] <= budget["limit"] for c in candidates)


def test_the_gradient_seeds_are_in_the_first_generation(whole: Path) -> None:
    seeds = json.loads((whole / "stages" / "gradient.json").read_text())["result"]["seeds"]
    rows = json.loads((whole / "evaluated.json").read_text())["rows"]
    asked = [r["arch"] for r in rows if r["origin"] == "seed"]
    assert asked and set(asked) <= {s["arch"] for s in seeds} | {r["arch"] for r in rows[-1:]} | set(asked)
    assert {s["arch"] for s in seeds[:4]} <= set(asked)
    assert len({r["arch"] for r in rows}) == len(rows) == 9  # the tenth training is a second one


def test_what_was_trained_is_stored_with_what_the_surrogate_expected(whole: Path, place: Place) -> None:
    front_stage = json.loads((whole / "stages" / "front.json").read_text())["result"]
    assert front_stage["evaluator"] == "short-training" and front_stage["strategy"] == "bo"
    (stored,) = [f for f in (place.folder / "home" / "evaluations").iterdir() if '"seed": 3' in f.read_text()]
    rows = {row["arch"]: row["metrics"] for row in map(json.loads, stored.read_text().splitlines()[1:])}
    trials = {row["arch"]: row for row in front_stage["rows"]}
    assert rows.keys() >= trials.keys()
    for arch, trial in trials.items():
        assert rows[arch]["val_accuracy"] == trial["val_accuracy"]
        assert 0 < trial["estimated_low"] <= trial["estimated_error"] <= trial["estimated_high"]
        assert ("expected_error" in trial) == (trial["origin"] == "model")
    assert any(trial["origin"] == "model" for trial in trials.values())
    (repeat,) = front_stage["repeats"]
    assert repeat["seed"] == 4 and repeat["arch"] in trials


def digest(value: bytes) -> str:
    return sha256(value)[:12]


def state(run: Path) -> dict[str, object]:
    """All that a seed and a table decide: architectures, weights (as hashes), predicted columns.

    The budget is far above every network, so that no measurement decides who is inside.
    """
    document = front(run)
    alphas = np.load(run / "alphas.npz", allow_pickle=False)
    return {
        "weights": {
            file.relative_to(run).as_posix(): {k: digest(v.tobytes()) for k, v in load_file(file).items()}
            for file in sorted(run.rglob("*.safetensors"))
        },
        "alphas": {k: digest(alphas[k].tobytes()) for k in alphas.files},
        "rows": json.loads((run / "evaluated.json").read_text())["rows"],
        "splits": digest((run / "splits.json").read_bytes()),
        "predicted": sorted(
            (p["arch_id"], p["origin"], str(p["pick"]), json.dumps(p["predicted"], sort_keys=True))
            for p in document["points"]
        ),
        "accuracy": {p["arch_id"]: p["measured"].get("test_accuracy") for p in document["points"]},
    }


def test_killed_at_five_random_moments_it_ends_as_if_never_stopped(whole: Path, place: Place) -> None:
    out = place.folder / "killed"
    rng = np.random.default_rng(int(time.time()))
    began = time.monotonic()
    place.run(place.command("--resume", str(whole)))  # what a start costs when nothing is left to do
    start_s = time.monotonic() - began
    # A home without the evaluations of the other run, so that all is trained again.
    shutil.copytree(place.folder / "home" / "tables", place.folder / "other" / "tables")
    command, killed_at = place.command(*place.words(out), home="other"), []
    for _ in range(5):
        process = subprocess.Popen(
            command, cwd=place.folder, env=place.environment(),
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=start_s + float(rng.uniform(0.0, 6.0)))
        if process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        _, complaint = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), complaint
        stages = sorted(p.stem for p in (out / "stages").glob("*.json"))
        killed_at.append(stages[-1] if stages else "nothing")
        if (out / "config.resolved.json").exists():
            command = place.command("--resume", str(out), home="other")
    done = place.run(command)
    assert done.returncode == 0, done.stderr
    expected, found = state(whole), state(out)
    for name in expected:
        assert found[name] == expected[name], f"{name} differs; killed after {killed_at}"


def test_a_finished_run_refuses_other_options(whole: Path, place: Place) -> None:
    said = place.here("search --picks 4 --resume", str(whole), code=2)
    assert "--picks: the run has 2, asked for 4" in said


def test_a_page_that_is_written_again_is_no_damage(whole: Path, place: Place) -> None:
    (whole / "report.html").unlink()
    place.here("report", str(whole))
    (whole / "report.html").write_text("edited")
    place.here("search --resume", str(whole))


def test_a_second_search_begins_with_what_is_known_and_trains_none_of_it(whole: Path, place: Place) -> None:
    out = place.folder / "second"
    work = ["--evaluations", "3", "--eval-epochs", "1", "--workers", "1"]
    said = place.here("search", *place.words(out, "latency_ms<=4000", work=work))
    rows = json.loads((out / "evaluated.json").read_text(encoding="utf-8"))["rows"]
    first = {r["arch"]: r["metrics"] for r in json.loads((whole / "evaluated.json").read_text())["rows"]}
    stored = {r["arch"]: r["metrics"] for r in rows if r["origin"] == "stored"}
    assert {arch: stored[arch]["val_loss"] for arch in first} == {a: m["val_loss"] for a, m in first.items()}
    own = [r for r in rows if r["origin"] != "stored"]
    assert len(own) == 3 and not stored.keys() & {r["arch"] for r in own}
    assert f"{len(stored)} architectures were trained by earlier searches" in said
    assert "whose weights are not in this run" in said
    trained = {f.name.split("-")[0] for f in (out / "evaluations").iterdir()}
    assert len(trained) <= 3 + len(
        json.loads((out / "stages" / "training.json").read_text())["result"]["models"]
    )


def test_one_search_for_several_devices_has_a_latency_on_each(whole: Path, place: Place) -> None:
    """This machine, the same with another number of threads, and a device of which only a table is here."""
    host = (ROOT / "targets" / "known" / "host.toml").read_text()
    board = place.folder / "board.toml"
    board.write_text(host.replace('name = "host"', 'name = "board"').replace("threads = 1", "threads = 2"))
    tables = place.folder / "home" / "tables"
    shutil.copytree(tables / "host", tables / "phone")
    out = place.folder / "devices"
    budgets = ("latency_ms@host<=4000", "latency_ms@board<=4000", "latency_ms@phone<=4000")
    work = ["--evaluations", "2", "--eval-epochs", "1", "--workers", "1"]
    targets = [word for name in ("host", str(board), "phone") for word in ("--target", name)]
    said = place.here("search", *place.words(out, *budgets, work=work), *targets)
    assert "phone is not measured: its latencies are those of its table" in said
    entries = front(out)["targets"]
    assert [(e["metric"], e["measured"]) for e in entries] == [
        ("latency_ms", True),
        ("latency_ms@board", True),
        ("latency_ms@phone", False),
    ]
    assert [entry["threads"] for entry in entries] == [1, 2, 1]
    assert [b["metric"] for b in front(out)["budgets"]] == [entry["metric"] for entry in entries]
    assert front(out)["objectives"] == ["val_accuracy", *(entry["metric"] for entry in entries)]
    for row in read_csv(out / "front.csv"):
        # The table of the phone is that of the host, and what is not measured is what the table says.
        assert row["predicted_latency_ms@phone"] == row["predicted_latency_ms"]
        assert row["measured_latency_p50_ms@phone"] == row["predicted_latency_ms@phone"]
        assert row["measured_clock@phone"] == "predicted" != row["measured_clock@board"] == "wall"
        assert row["origin"] != "mobilenet_v3"
        assert float(row["measured_latency_p50_ms@board"]) > 0
    place.here("search --resume", str(out))
    refused = place.here("search", *place.words(place.folder / "no", "latency_ms@bord<=3"), *targets, code=2)
    assert "'bord' is no device of this search" in refused
    assert not (place.folder / "no").exists()


def test_shared_weights_score_a_search_by_nsga2(whole: Path, place: Place) -> None:
    out = place.folder / "shared"
    place.here("search", *place.words(out, work=SHARED), "--random-baselines 0")
    stored = json.loads((out / "evaluated.json").read_text(encoding="utf-8"))
    assert stored["question"]["strategy"] == "nsga2"
    assert {row["generation"] for row in stored["rows"]} == {0, 1, 2}
    assert not (out / "evaluations").exists() and front(out)["evaluator"] == "shared-weights"


def test_successive_halving_trains_the_best_on_from_their_weights(whole: Path, place: Place) -> None:
    out = place.folder / "halving"
    work = ["--strategy", "successive-halving", "--strategy-option", "width=4", "--random-baselines", "0"]
    work += ["--workers", "1"]
    one = place.words(place.folder / "one", work=[*work, "--eval-epochs", "1"])
    assert "--eval-epochs of 2 or more" in place.here("search", *one, code=2)
    place.here("search", *place.words(out, work=[*work, "--eval-epochs", "2", "--evaluations", "3"]))
    rows = json.loads((out / "evaluated.json").read_text(encoding="utf-8"))["rows"]
    brief, long = [[r for r in rows if r.get("fidelity", 0) == f] for f in (0, 1)]
    assert len(brief) >= 4 and len(long) == 1 and long[0]["origin"] == "promoted"
    assert [r["arch"] for r in front(out)["evaluated"]] == [long[0]["arch"]]
    [later] = (out / "evaluations").glob("*-s3/result.json")
    weights = later.parent.with_name(f"{later.parent.name}-e1") / "weights.safetensors"
    job = json.loads(later.read_text())["job"]
    assert job["start"]["sha256"].startswith(digest(weights.read_bytes()))
    assert job["recipe"]["epochs"] == 1


def test_an_unreachable_budget_names_the_fastest_and_the_nearest(place: Place, whole: Path) -> None:
    words = place.words(place.folder / "hopeless", "latency_ms<=0.0001", "macs<=10")
    said = place.here("search", *words, code=5)
    assert "the nearest feasible budget is latency_ms<=" in said
    assert "the nearest feasible budget is macs<=" in said
    assert "mb3e3" in said


def test_a_search_goes_on_from_the_weights_of_a_finished_one(whole: Path, place: Place) -> None:
    """Stopped by Ctrl-C in its training and resumed, with the finished search out of reach by then.

    Its decisions say that time was left for two epochs more.
    """
    old, out = place.folder / "old", place.folder / "longer"
    shutil.copytree(whole, old, symlinks=True)
    command = place.command("--continue-from", str(old), "--train-epochs", "3", "--out", str(out))
    process = subprocess.Popen(
        command, cwd=place.folder, env=place.environment(), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    for line in process.stderr:
        if "train picks and baselines" in line:
            break
    complaint = interrupt(process)
    assert process.returncode == 130, complaint
    shutil.rmtree(old)
    (out / "decisions.json").write_text(json.dumps({"counts": {"longer_epochs": 2}, "batches": {}}))
    done = place.run(place.command("--resume", str(out)))
    assert done.returncode == 0, done.stderr

    def trained(run: Path, folder: str = "training") -> dict[str, dict]:
        results = (run / folder).glob("*/result.json")
        return {path.parent.name: json.loads(path.read_text()) for path in results}

    before, after = trained(whole), trained(out)
    assert before.keys() == after.keys() and len(after) >= 3
    for name, result in after.items():
        assert result["job"]["start"]["sha256"] == before[name]["weights_sha256"]
        assert result["job"]["recipe"] == before[name]["job"]["recipe"] | {"epochs": 3}
        assert len(result["epochs"]) == 3
    longer = trained(out, "training-longer")
    assert longer.keys() == after.keys()
    for name, result in longer.items():
        assert result["job"]["start"]["sha256"] == after[name]["weights_sha256"]
        assert result["job"]["recipe"] == after[name]["job"]["recipe"] | {"epochs": 2}
    first, second = front(whole), front(out)
    assert second["training"]["epochs"] == first["training"]["epochs"] + 3 + 2 == 8
    assert second["counts"]["train_epochs"] == 3 + 2
    chosen = f"{second['chosen']}-s3"
    per_epoch = after[chosen]["epochs"][-1]["step"] / 3
    assert second["training"]["steps"] == first["training"]["steps"] + 5 * per_epoch
    (best,) = (p for p in second["points"] if p["arch_id"] == second["chosen"])
    assert best["measured"]["val_accuracy"] == pytest.approx(longer[chosen]["val_accuracy"], abs=0.02)
    assert {p["arch_id"] for p in second["points"]} == {p["arch_id"] for p in first["points"]}
    assert second["evaluated"] == first["evaluated"] and second["continued_from"] == str(old)
    for point in second["points"]:
        if point["measured"].get("test_accuracy") is not None:
            assert point["measured"]["latency_p50_ms"] > 0
    assert (out / "report.html").is_file() and (out / "export" / "manifest.json").is_file()
