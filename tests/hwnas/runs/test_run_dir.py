"""The run directory under the faults it promises to survive: kill -9, damage, a full disk, two processes."""

import errno
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hwnas.runs import environment
from hwnas.runs.checkpoints import Checkpoints
from hwnas.runs.config import SearchConfig
from hwnas.runs.identity import GRADIENT_SEARCH, Identity
from hwnas.runs.lock import RunInUseError
from hwnas.runs.log import Log
from hwnas.runs.run_dir import RunDir
from hwnas.runs.search_run import create_search, default_path, open_search, stored_config
from hwnas.runs.status import run_status
from targets.checksummed import read_checksummed, write_checksummed
from targets.errors import DamagedFileError, TargetError, UsageError

CONFIG = SearchConfig(seed=7, budgets=("latency_ms<=12",), device="cpu")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunDir]:
    with create_search(tmp_path / "run", CONFIG, log=Log(io.StringIO())) as run:
        yield run


def save(run: RunDir, step: int) -> None:
    run.save_checkpoint("search", step, {"w": torch.full((3, 2), float(step))}, {"rng": [step, 2**100]})


def config_of(run: RunDir) -> SearchConfig:
    return stored_config(run.identity, run.path)


def said(run: RunDir) -> str:
    assert isinstance(run.log.stream, io.StringIO)
    return run.log.stream.getvalue()


class TestConfig:
    def test_files_of_a_new_run(self, run: RunDir) -> None:
        assert {p.name for p in run.path.iterdir()} == {
            ".lock",
            "config.toml",
            "config.resolved.json",
            "env.json",
        }
        resolved = json.loads((run.path / "config.resolved.json").read_text())
        assert resolved["seed"] == 7
        assert resolved["picks"] == SearchConfig().picks
        env = json.loads((run.path / "env.json").read_text())
        assert env["versions"]["torch"] == torch.__version__.split("+")[0]
        assert env["seed"] == 7

    def test_opens_with_the_same_config(self, run: RunDir) -> None:
        run.close()
        with open_search(run.path) as again:
            assert config_of(again) == CONFIG

    def test_resume_never_changes_the_identity(self, run: RunDir) -> None:
        run.close()
        with pytest.raises(UsageError) as caught:
            open_search(run.path, given={"seed": 8, "budgets": ["latency_ms<=13"], "space": "mobile"})
        text = str(caught.value)
        assert "--seed: the run has 7, asked for 8" in text
        assert "--budget: " in text
        assert "--space" not in text

    def test_limits_may_change(self, run: RunDir) -> None:
        run.close()
        with open_search(run.path, given={"minutes": 3.0, "workers": 1}) as again:
            assert (config_of(again).minutes, config_of(again).workers) == (3.0, 1)

    def test_a_run_is_not_overwritten(self, run: RunDir) -> None:
        run.close()
        with pytest.raises(UsageError, match="--resume"):
            create_search(run.path, CONFIG)

    def test_a_foreign_folder_is_left_alone(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("x")
        with pytest.raises(UsageError, match=r"thesis\.tex"):
            create_search(tmp_path, CONFIG)
        assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, SystemExit])
    def test_creation_that_is_stopped_leaves_nothing(
        self, stop: type[BaseException], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stopped(*_: object) -> None:
            raise stop

        monkeypatch.setattr("hwnas.runs.run_dir.environment", stopped)
        with pytest.raises(stop):
            create_search(tmp_path / "runs" / "a", SearchConfig())
        assert list(tmp_path.iterdir()) == []

    def test_a_search_that_was_killed_before_it_began_says_how_to_go_on(self, tmp_path: Path) -> None:
        (tmp_path / ".lock").write_text("")
        (tmp_path / "config.toml").write_text("")
        with pytest.raises(UsageError, match="stopped before it began; give the command again"):
            open_search(tmp_path)
        create_search(tmp_path, SearchConfig()).close()

    def test_creation_that_was_killed_is_taken_up(self, run: RunDir) -> None:
        run.close()
        (run.path / "config.resolved.json").unlink()
        (run.path / ".env.json.ab12cd34").write_text("{")
        with pytest.raises(UsageError, match="no run directory"):
            open_search(run.path)
        create_search(run.path, CONFIG).close()

    def test_a_run_of_another_schema_is_refused(self, run: RunDir) -> None:
        run.close()
        write_checksummed(run.path / "config.resolved.json", {"schema": 99, **CONFIG.to_json()})
        with pytest.raises(DamagedFileError, match="schema 99"):
            open_search(run.path)

    def test_other_versions_are_told(self, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
        run.close()
        monkeypatch.setattr("hwnas.runs.run_dir.versions", lambda: {**environment.versions(), "torch": "1.0"})
        with open_search(run.path, log=Log(io.StringIO())) as again:
            assert "-> 1.0" in said(again)

    def test_torn_temporary_files_are_removed(self, run: RunDir) -> None:
        run.close()
        torn = [run.path / ".front.json.ab12cd34", run.path / "models" / "a" / ".model.onnx.ab12cd34"]
        kept = [run.path / ".editorconfig", run.path / "export" / ".lock"]
        kept += [run.path / "export" / ".manifest.json.ab12cd34"]  # of a run of its own, maybe under way
        for path in [*torn, *kept]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("{")
        open_search(run.path).close()
        assert not any(path.exists() for path in torn)
        assert all(path.exists() for path in kept)


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "<script>", "a b", "x" * 300, "数据", ".", "CON"])
def test_names_never_leave_the_folder(tmp_path: Path, name: str) -> None:
    path = default_path(SearchConfig(data=name, targets=(name, name, name)), tmp_path)
    assert path.resolve().parent == tmp_path.resolve()
    assert len(path.name) < 100


def test_default_path_takes_the_first_free_number(tmp_path: Path) -> None:
    (tmp_path / "cifar10-host-1").mkdir()
    assert default_path(SearchConfig(data="/data/cifar10.zip"), tmp_path) == tmp_path / "cifar10-host-2"


class TestEnter:
    """A run of any kind: new, gone on with, or refused."""

    SAME = Identity(kind=GRADIENT_SEARCH, values={"method": "darts", "seed": 0})

    def test_the_same_identity_goes_on(self, tmp_path: Path) -> None:
        with RunDir.enter(tmp_path / "a", self.SAME) as run:
            run.finish_stage("search", {"n": 1})
        with RunDir.enter(tmp_path / "a", self.SAME) as again:
            assert again.result("search") == {"n": 1}
        assert run_status(tmp_path / "a")["config"] == self.SAME.values

    def test_another_one_is_refused_with_every_difference(self, tmp_path: Path) -> None:
        RunDir.enter(tmp_path / "a", self.SAME).close()
        other = Identity(kind=GRADIENT_SEARCH, values={"method": "enas", "seed": 1})
        with pytest.raises(UsageError, match="holds another run") as caught:
            RunDir.enter(tmp_path / "a", other)
        assert "method: the run has 'darts', asked for 'enas'" in str(caught.value)
        assert "seed: the run has 0, asked for 1" in str(caught.value)

    def test_another_kind_of_run_is_refused(self, tmp_path: Path) -> None:
        RunDir.enter(tmp_path / "a", self.SAME).close()
        with pytest.raises(UsageError, match="holds a gradient-search"):
            open_search(tmp_path / "a")
        create_search(tmp_path / "b", CONFIG).close()
        with pytest.raises(UsageError, match="holds a search, and this is a gradient-search"):
            RunDir.enter(tmp_path / "b", self.SAME)

    def test_a_folder_of_before_goes_on(self, tmp_path: Path) -> None:
        write_checksummed(tmp_path / "question.json", dict(self.SAME.values))
        with RunDir.enter(tmp_path, self.SAME) as run:
            assert run.identity == self.SAME
        assert not (tmp_path / "config.resolved.json").exists()


class TestStages:
    def test_a_result_is_as_a_resumed_run_reads_it_in_its_order_too(self, run: RunDir) -> None:
        run.finish_stage("baselines", {"random": [("a", 1)], "mobilenet": {"b": 1, "a": 2}})
        here = run.result("baselines")
        run.close()
        with RunDir.open(run.path) as resumed:
            there = resumed.result("baselines")
        assert here == there
        assert json.dumps(here) == json.dumps(there)

    def test_result_comes_back(self, run: RunDir) -> None:
        assert run.stage_done("data") is None
        run.finish_stage("data", {"n": 3})
        assert run.stage_done("data") == {"n": 3}
        assert run.result("data") == {"n": 3}
        with pytest.raises(KeyError, match="'gradient' is not done yet"):
            run.result("gradient")

    def test_nan_is_refused(self, run: RunDir) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            run.finish_stage("data", {"n": float("nan")})
        assert run.stage_done("data") is None

    @pytest.mark.parametrize("damage", ["gone", "changed"])
    def test_artefacts_are_checked(self, run: RunDir, damage: str) -> None:
        (run.path / "models/a").mkdir(parents=True)
        (run.path / "models/a/m.onnx").write_bytes(b"abc")
        (run.path / "front.csv").write_text("x")
        run.finish_stage("export", {}, files=["models", run.path / "front.csv"])
        assert run.stage_done("export") == {}
        if damage == "gone":
            (run.path / "models/a/m.onnx").unlink()
        else:
            (run.path / "models/a/m.onnx").write_bytes(b"abd")
        with pytest.raises(DamagedFileError, match=r"m\.onnx.*stages/export\.json"):
            run.stage_done("export")

    def test_files_outside_the_run_are_refused(self, run: RunDir, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("")
        with pytest.raises(ValueError, match="outside"):
            run.finish_stage("data", {}, files=["../x"])

    def test_every_truncation_is_noticed(self, run: RunDir) -> None:
        run.finish_stage("data", {"n": 3})
        run.close()
        for file in (run.path / "stages/data.json", run.path / "config.resolved.json"):
            whole = file.read_bytes()
            for length in range(len(whole) - 1):  # the last byte is a newline
                file.write_bytes(whole[:length])
                with pytest.raises(DamagedFileError, match=file.name):
                    read_checksummed(file, "test")
            file.write_bytes(whole)
        with open_search(run.path) as again:
            assert again.stage_done("data") == {"n": 3}

    def test_every_changed_digit_is_noticed(self, run: RunDir) -> None:
        run.finish_stage("data", {"n": 31415})
        file = run.path / "stages/data.json"
        file.write_text(file.read_text().replace("31415", "31416"))
        with pytest.raises(DamagedFileError, match="checksum"):
            run.stage_done("data")


class TestCheckpoints:
    def test_nothing_saved(self, run: RunDir) -> None:
        assert run.load_checkpoint("search") is None

    def test_comes_back_to_the_bit(self, run: RunDir) -> None:
        tensors = {
            "channels_last": torch.randn(2, 3, 4, 4).to(memory_format=torch.channels_last),
            "view": torch.arange(12).reshape(3, 4).T,
            "scalar": torch.tensor(1.5, dtype=torch.float64),
            "none": torch.empty(0),
            "flag": torch.tensor([True, False]),
        }
        tensors["tied"] = tensors["channels_last"]
        run.save_checkpoint("search", 5, tensors, {"x": 0.1, "big": 2**127 + 1})
        loaded = run.load_checkpoint("search")
        assert loaded is not None
        step, back, state = loaded
        assert (step, state) == (5, {"x": 0.1, "big": 2**127 + 1})
        assert back.keys() == tensors.keys()
        assert all(torch.equal(back[name], tensors[name]) for name in tensors)

    def test_two_generations_are_kept_and_stages_do_not_mix(self, run: RunDir) -> None:
        save(run, 1)
        run.save_checkpoint("search-2", 9, {}, {})
        for step in (2, 3, 4):
            save(run, step)
        names = sorted(p.name for p in (run.path / "checkpoints").iterdir())
        assert [n for n in names if not n.startswith("search-2")] == [
            f"search-{g:06d}.{kind}" for g in (3, 4) for kind in ("json", "safetensors")
        ]
        assert run.load_checkpoint("search-2") == (9, {}, {})
        run.delete_checkpoints("search")
        assert run.load_checkpoint("search") is None
        assert run.load_checkpoint("search-2") is not None

    @pytest.mark.parametrize("kind", ["json", "safetensors"])
    @pytest.mark.parametrize("damage", ["bit", "truncated", "empty", "gone"])
    def test_falls_back_to_the_one_before(self, run: RunDir, kind: str, damage: str) -> None:
        save(run, 1)
        save(run, 2)
        spoil(run.path / f"checkpoints/search-000002.{kind}", damage)
        loaded = run.load_checkpoint("search")
        assert loaded is not None
        assert loaded[0] == 1
        assert torch.equal(loaded[1]["w"], torch.full((3, 2), 1.0))
        # A JSON that is gone is what a save killed half-way leaves, and no damage.
        assert ("going on from step 1" in said(run)) == (not (kind == "json" and damage == "gone"))
        save(run, 2)
        save(run, 3)
        assert [run.load_checkpoint("search") is not None, len(said(run).splitlines()) <= 1] == [True, True]

    def test_both_bad(self, run: RunDir) -> None:
        save(run, 1)
        save(run, 2)
        spoil(run.path / "checkpoints/search-000001.safetensors", "bit")
        spoil(run.path / "checkpoints/search-000002.json", "truncated")
        before = sorted((run.path / "checkpoints").iterdir())
        with pytest.raises(DamagedFileError) as caught:
            run.load_checkpoint("search")
        assert "search-000001.safetensors" in str(caught.value)
        assert "search-000002.json" in str(caught.value)
        assert caught.value.exit_code == 3
        assert sorted((run.path / "checkpoints").iterdir()) == before

    def test_every_flipped_byte_of_the_tensors_is_noticed(self, tmp_path: Path) -> None:
        warnings: list[str] = []
        checkpoints = Checkpoints(tmp_path, warnings.append)
        checkpoints.save("a", 1, {"w": torch.ones(2)}, {})
        file = tmp_path / "a-000001.safetensors"
        whole = file.read_bytes()
        for i in range(len(whole)):
            file.write_bytes(whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :])
            with pytest.raises(DamagedFileError, match="checksum"):
                checkpoints.load("a")

    def test_status_reads_without_the_lock(self, run: RunDir) -> None:
        run.finish_stage("data", {})
        save(run, 30)
        found = run_status(run.path)
        assert [(s["name"], s["state"]) for s in found["stages"]] == [("data", "done"), ("search", "to do")]
        assert (found["state"], found["under_way"]) == ("running", None)
        assert str(os.getpid()) in found["in_use_by"]
        run.close()
        found = run_status(run.path)
        assert (found["in_use_by"], found["state"]) == (None, "stopped")
        assert f"--resume {run.path}" in found["next"]


def spoil(file: Path, how: str) -> None:
    raw = file.read_bytes()
    if how == "gone":
        file.unlink()
    elif how == "bit":
        middle = len(raw) // 2
        file.write_bytes(raw[:middle] + bytes([raw[middle] ^ 4]) + raw[middle + 1 :])
    else:
        file.write_bytes(raw[: len(raw) // 2 if how == "truncated" else 0])


class TestRefused:
    """Bad input that ends a new run before anything is done leaves nothing behind."""

    @pytest.mark.parametrize("error", [UsageError("no such data"), DamagedFileError("a torn zip")])
    def test_the_folders_that_were_made_are_gone(self, error: Exception, tmp_path: Path) -> None:
        with pytest.raises(type(error)), create_search(tmp_path / "a" / "b", CONFIG):
            raise error
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.slow
    def test_folders_that_were_there_stay(self, tmp_path: Path) -> None:
        (tmp_path / "a" / "b").mkdir(parents=True)
        with create_search(tmp_path / "a" / "other", CONFIG):
            pass
        for name in ("b", "c"):
            with pytest.raises(UsageError), create_search(tmp_path / "a" / name, CONFIG):
                raise UsageError("no such data")
        assert {p.name for p in (tmp_path / "a").iterdir()} == {"b", "other"}
        assert list((tmp_path / "a" / "b").iterdir()) == []

    def test_what_was_done_stays(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError), create_search(tmp_path / "a", CONFIG) as run:
            run.finish_stage("splits", {})
            raise UsageError("a budget that no network meets")
        with open_search(tmp_path / "a") as again:
            assert again.stage_done("splits") == {}

    def test_other_errors_keep_the_run(self, tmp_path: Path) -> None:
        with pytest.raises(TargetError), create_search(tmp_path / "a", CONFIG):
            raise TargetError("the board is switched off")
        with pytest.raises(UsageError), open_search(tmp_path / "a") as again:
            raise UsageError("a run that is gone on with is not new")
        assert again.path.exists()


class TestDiskFull:
    def check(self, run: RunDir) -> None:
        with pytest.raises(DamagedFileError, match=r"search-000002.*bytes.*No space left"):
            run.save_checkpoint("search", 2, {"w": torch.zeros(40_000)}, {})
        loaded = run.load_checkpoint("search")
        assert loaded is not None
        assert loaded[0] == 1

    def test_injected(self, run: RunDir, monkeypatch: pytest.MonkeyPatch) -> None:
        save(run, 1)

        def full(descriptor: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            self.check(run)
        save(run, 2)
        assert not list((run.path / "checkpoints").glob(".*"))

    def test_on_a_small_file_system(self, tmp_path: Path) -> None:
        small = tmp_path / "small"
        small.mkdir()
        if subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=96k", "none", str(small)], capture_output=True, check=False
        ).returncode:
            pytest.skip("mounting a tmpfs needs root")
        try:
            with create_search(small / "run", CONFIG, log=Log(io.StringIO())) as run:
                save(run, 1)
                self.check(run)
                save(run, 2)
        finally:
            subprocess.run(["umount", str(small)], check=True)


HOLDER = """
import sys, pathlib
from hwnas.runs.search_run import open_search
run = open_search(pathlib.Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.read()
"""


def test_two_processes_on_one_run(run: RunDir) -> None:
    run.close()
    command = [sys.executable, "-c", HOLDER, str(run.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "ready\n"
        with pytest.raises(RunInUseError, match=rf"in use by pid {holder.pid} on host .+ since ") as caught:
            open_search(run.path)
        assert caught.value.exit_code == 3
        holder.send_signal(signal.SIGKILL)
    with open_search(run.path) as again:
        assert config_of(again) == CONFIG


KILLED = """
import os, pathlib, random, signal, sys, time
import torch
from hwnas.runs.search_run import open_search
path, done = pathlib.Path(sys.argv[1]), 0
rng = random.Random(1)
for attempt in range(20):
    ready, tell = os.pipe()
    child = os.fork()
    if not child:
        with open_search(path) as run:
            loaded = run.load_checkpoint("search")
            step = loaded[0] if loaded else 0
            while True:
                step += 1
                state = {"text": "x" * rng.randrange(5000), "step": step}
                run.save_checkpoint("search", step, {"w": torch.full((2000,), float(step))}, state)
                run.finish_stage(f"stage-{step % 3}", {"step": step})
                os.write(tell, b".")
    os.read(ready, 1)
    delay = time.monotonic() + rng.random() * 0.03
    while time.monotonic() < delay:
        pass
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with open_search(path) as run:
        step, tensors, state = run.load_checkpoint("search")
        assert step > done and state["step"] == step and bool((tensors["w"] == step).all())
        for i in range(3):
            result = run.stage_done(f"stage-{i}")
            assert result is None or result["step"] % 3 == i
        done = step
print("steps", done)
"""


@pytest.mark.slow
def test_kill_9_at_twenty_random_moments(run: RunDir) -> None:
    run.close()
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(run.path)],
        capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr  # a kill is no damage
    assert int(done.stdout.split()[1]) >= 20
