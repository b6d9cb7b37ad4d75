"""The edge of the command line: one message on stderr, the right exit code, no traceback, data on stdout."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cli
from targets import load_target
from targets.errors import DamagedFileError, HwnasError, InfeasibleError, TargetError, UsageError
from tests.support.homes import write_predictor


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def pipeline_that(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Puts a main job in place that raises."""

    def search(run: object) -> None:
        raise error

    monkeypatch.setattr("hwnas.pipeline.main_job.search", search)


@pytest.mark.parametrize(
    ("error", "code"),
    [(UsageError, 2), (DamagedFileError, 3), (TargetError, 4), (InfeasibleError, 5), (HwnasError, 1)],
)
def test_errors_carry_their_exit_code(
    error: type[HwnasError], code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline_that(monkeypatch, error("what, where, next"))
    assert cli.run(["search", "--quiet"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "error: what, where, next\n"


def test_a_bug_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline_that(monkeypatch, ZeroDivisionError("division by zero"))
    assert cli.run(["search", "-q"]) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err
    assert "--debug" in err
    assert "Traceback" not in err


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline_that(monkeypatch, ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        cli.run(["search", "-q", "--debug"])


def test_the_run_is_free_again_after_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pipeline_that(monkeypatch, TargetError("gone"))
    assert cli.run(["search", "-q", "--out", "a"]) == 4
    assert cli.run(["search", "-q", "--resume", "a"]) == 4
    assert cli.run(["search", "-q", "--resume", "a", "--seed", "3"]) == 2
    assert cli.run(["search", "-q", "--out", "a"]) == 2


STOPPED = """
import signal, sys, hwnas.pipeline.main_job
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs start with it ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and with this one under nohup
def search(run):
    print("ready", flush=True)
    sys.stdin.read()
hwnas.pipeline.main_job.search = search
import cli
cli.main()
"""


ENDINGS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), ENDINGS)
def test_signals_tell_how_to_go_on(signum: signal.Signals, code: int) -> None:
    command = [sys.executable, "-c", STOPPED, "search", "--quiet", "--out", "mine"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signum)
        _, err = process.communicate()
    assert process.returncode == code
    assert err.splitlines()[-1] == "stopped; go on with: hwnas search --resume mine"
    assert "Traceback" not in err


LOADING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
class Slow:
    def find_spec(self, name, *_):
        if name == "hwnas.commands.app":
            print("ready", flush=True)
            sys.stdin.read()
sys.meta_path.insert(0, Slow())
import cli
cli.main()
"""


@pytest.mark.parametrize(("signum", "code"), ENDINGS)
def test_signals_while_the_commands_load_leave_no_traceback(signum: signal.Signals, code: int) -> None:
    command, pipe = [sys.executable, "-c", LOADING, "methods"], subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signum)
        _, err = process.communicate()
    assert (process.returncode, err) == (code, "stopped\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("serach", "search"),
        ("search --pick 3", "--picks"),
        ("search --picks many", "--picks"),
        ("search --budget-ms nan", "--budget-ms"),
        ("search --budget-ms 0", "--budget-ms"),
        ("search --budget latency_ms<=-3", "--budget"),
        ("search --budget speed<=3", "peak_memory_mb"),
        ("search --budget-ms 1 --budget latency_ms<=2", "more than one budget"),
        ("search --image-size 8", "--image-size"),
        ("search --method dart", "did you mean 'darts'"),
        ("search --strategy nsga22", "did you mean 'nsga2'"),
        ("search --labels labels.csv", "needs --data"),
        ("report .", "is no run directory"),
        ("search --space mobil", "did you mean 'mobile'"),
        ("search --target hots", "did you mean 'host'"),
        ("search --config none.toml", "none.toml does not exist"),
        ("search --resume none", "no run directory"),
        ("search --resume a --out b", "--out"),
        ("status none", "no run directory"),
        ("spaces show mobil", "did you mean 'mobile'"),
        ("methods show dart", "did you mean 'darts'"),
        ("targets show hots", "did you mean 'host'"),
    ],
)
def test_wrong_usage(line: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(line.split()) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert says in err
    assert "Traceback" not in err
    assert not (tmp_path / "runs").exists(), "bad input must leave nothing behind"


def test_dry_run_prints_every_option_and_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["search", "--dry-run", "--budget-ms", "12", "--seed", "5"]
    assert cli.run([*line, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["config"]["budgets"] == ["latency_ms<=12"]
    assert document["config"]["seed"] == 5
    assert document["work"]["evaluations"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line", ["spaces --json", "methods --json", "targets list --json", "targets show host --json"]
)
def test_json_is_one_document(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(line.split()) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)
    assert err == ""


def test_doctor(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["doctor", "--json", "--home", str(tmp_path / "home")]) == 0
    found = json.loads(capsys.readouterr().out)
    assert "CPUExecutionProvider" in found["onnxruntime_providers"]
    assert found["problems"] == []


def test_doctor_tells_damaged_files_of_the_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_predictor(tmp_path / "home", load_target("host"))
    assert cli.run(["doctor", "--home", str(tmp_path / "home")]) == 0
    assert "verdict: ready" in capsys.readouterr().out
    (path,) = tmp_path.rglob("predictor.json")
    path.write_text("{")
    assert cli.run(["doctor", "--home", str(tmp_path / "home")]) == 4
    out, err = capsys.readouterr()
    assert "verdict: not ready: 1 problem to solve" in out
    assert str(path) in err


def test_doctor_tells_an_unwritable_home(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert cli.run(["doctor", "--home", str(tmp_path / "file")]) == 4
    assert "is a file and no folder" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["--version"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("hwnas ", "torch ", "onnxruntime ", "optuna "))


def test_a_dry_run_says_that_there_are_no_such_images(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["search", "--data", "nowhere/", "--dry-run"]) == 2
    told = capsys.readouterr()
    assert "'nowhere/' is neither a known data set nor an existing path" in told.err
    assert not told.out


LONG = "x" * 300


@pytest.mark.parametrize(
    "line",
    [
        f"search --data {LONG} --dry-run",
        f"status {LONG}",
        f"report {LONG}",
        f"predict {LONG}",
        f"search --out {LONG}",
    ],
)
def test_a_name_that_no_file_can_have_is_no_bug(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(line.split()) in (2, 3)
    assert "internal error" not in capsys.readouterr().err


def test_a_home_that_is_a_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "home").write_text("")
    assert cli.run(["search", "--dry-run", "--home", str(tmp_path / "home")]) == 2
    assert "is a file; give a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "says"),
    [("none/a.csv", "there is no folder none"), (".", "is a folder"), ("file/a.csv", "no folder file")],
)
@pytest.mark.parametrize(
    "line",
    [
        "rank a --target host --csv",
        "rank a --target host --html",
        "front merge a b --csv",
        "predict a.onnx --html",
        "tables export host --out",
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(
    line: str, file: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert cli.run([*line.split(), file]) == 2
    assert says in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
