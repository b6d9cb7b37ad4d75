"""Tables of known results as spaces: what they hold, how they are searched, and what is refused."""

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from hwnas.commands.app import app
from hwnas.front import STRATEGIES, Problem, make_strategy, run
from hwnas.spaces.table import load_table
from targets.errors import DamagedFileError, HwnasError, UsageError

SCHEMA = """
choices = ["kernel", "kind"]
seconds = "train_s"
same_as = "iso"
[metrics]
val_accuracy = { column = "percent", scale = 0.01 }
latency_ms = "ms"
[fidelities.12]
seconds = "short_s"
val_accuracy = { column = "short", scale = 0.01 }
"""


def frame() -> pd.DataFrame:
    """Five kernels and four kinds without one combination; kind d does not depend on the kernel."""
    rows = [(k, kind) for k, kind in itertools.product([3, 5, 7, 9, 11], "abcd") if (k, kind) != (11, "a")]
    table = pd.DataFrame(rows, columns=["kernel", "kind"])
    code = table["kind"].map(dict(zip("abcd", range(4), strict=True)))
    free = table["kind"] == "d"
    table["percent"] = 50 + 3 * table["kernel"].where(~free, 3) - 2 * code
    table["ms"] = 1 + table["kernel"].where(~free, 3) / 10 + code / 7
    table["short"], table["train_s"], table["short_s"] = table["percent"] - 20, 100.0, 10.0
    table["iso"] = np.where(free, int(np.flatnonzero(free)[0]), np.arange(len(table)))
    return table


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "known.csv"
    frame().to_csv(path, index=False)
    path.with_suffix(".toml").write_text(SCHEMA)
    return path


def test_rows_are_the_space_and_equal_networks_are_one(file: Path) -> None:
    table = load_table(str(file))
    space = table.space
    assert space.size == 19 and len(list(space.enumerate())) == 15
    assert [c.options for c in space.choices] == [
        ("3", "5", "7", "9", "11"),
        tuple("abcd"),
    ]  # numbers in order
    assert space.valid((4, 1)) and not space.valid((4, 0))
    assert space.canonical((4, 3)) == (0, 3)
    assert table([(0, 0), (4, 3)]) == [
        {"val_accuracy": pytest.approx(0.59), "latency_ms": pytest.approx(1.3)},
        {"val_accuracy": pytest.approx(0.53), "latency_ms": pytest.approx(1.3 + 3 / 7)},
    ]
    assert table.objectives == ("val_accuracy", "latency_ms")
    assert list(table.costs_of([(0, 0)])) == ["latency_ms"]
    rng = np.random.default_rng(0)
    assert all(space.valid(space.mutate(space.sample(rng), rng)) for _ in range(50))


def test_a_fidelity_has_its_own_numbers_and_clock(file: Path) -> None:
    whole, short = load_table(str(file)), load_table(f"{file}@12")
    assert whole.seconds_of([(0, 0), (1, 0)]) == 200 and short.seconds_of([(0, 0)]) == 10
    assert short([(0, 0)])[0]["val_accuracy"] == pytest.approx(0.39)
    assert whole.checksum != short.checksum
    with pytest.raises(UsageError, match="no fidelity '13'; known: 12"):
        load_table(f"{file}@13")


@pytest.mark.parametrize("name", sorted(set(STRATEGIES) - {"pnas", "gp"}))
def test_every_strategy_uses_it_up(file: Path, name: str) -> None:
    table = load_table(str(file))
    strategy = make_strategy(
        name, table.space, Problem.parse(table.objectives), population=4, seed=0, costs_of=table.costs_of
    )
    assert run(strategy, table, 20) == "exhausted"
    assert len(strategy.history.trials) == 15


def broken(file: Path, column: str, row: int, value: object) -> None:
    rows = frame().to_dict("records")
    rows[row][column] = value
    pd.DataFrame(rows).to_csv(file, index=False)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("ms", None, "line 5, column ms: 'nan' is no finite number"),
        ("ms", "inf", "line 5, column ms"),
        ("percent", "good", "line 5, column percent: 'good' is no finite number"),
        ("percent", 140.0, r"line 5: val_accuracy is 1.4, outside of 0 to 1; percent need scale"),
        ("kind", None, "line 5, column kind: the option is missing"),
        ("kind", "a/b", "option 'a/b' holds ':' or '/'"),
        ("kind", "a", "lines 2 and 5 are the same architecture"),
        ("iso", 77, "column iso: not every number is a row"),
    ],
)
def test_a_damaged_table_is_refused_with_the_place(
    file: Path, column: str, value: object, message: str
) -> None:
    broken(file, column, 3, value)
    with pytest.raises(DamagedFileError, match=message):
        load_table(str(file))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"ms"', '"msec"', "has no column 'msec' for latency_ms"),
        ("seconds", "secs", "unknown key secs"),
        ('choices = ["kernel", "kind"]', "", "choices must be given as list"),
        ("scale = 0.01", 'scale = "percent"', "scale must be a number"),
        ("seconds", 'objectives = ["macs"]\nseconds', "objective 'macs' is no metric"),
    ],
)
def test_a_wrong_schema_is_refused(file: Path, old: str, new: str, message: str) -> None:
    file.with_suffix(".toml").write_text(SCHEMA.replace(old, new, 1))
    with pytest.raises(HwnasError, match=message):
        load_table(str(file))


def test_the_command_leaves_a_front_and_a_curve(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["search", "--space", f"table:{file}", "--evaluations", "11", "--out", "run", "--budget-ms", "2"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert "11 evaluations, 1100 s by the table's clock" in done.stdout
    front, curve = (pd.read_csv(tmp_path / "run" / name) for name in ("front.csv", "curve.csv"))
    # By hand: 50 + 3 * 9 percent of kernel 9 and kind a, at 1.9 ms; kernel 11 of kind a is not there.
    assert (front["latency_ms"] <= 2).all() and front["val_accuracy"].max() == pytest.approx(0.77)
    assert curve["hypervolume"].is_monotonic_increasing and curve["evaluations"].iloc[-1] == 11
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0 and again.stdout == done.stdout  # read, not searched again


def test_other_objectives_and_a_preference(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    schema = SCHEMA.replace("latency_ms =", 'val_loss = "loss"\nval_top5_accuracy = "top"\nlatency_ms =')
    file.with_suffix(".toml").write_text(schema)
    table = frame()
    table["loss"], table["top"] = 3 - table["percent"] / 50, 0.5 + table["percent"] / 200
    table.to_csv(file, index=False)
    for score, best in (("val_loss", table["loss"].min()), ("val_top5_accuracy", table["top"].max())):
        words = ["search", "--space", f"table:{file}", "--out", score, "--prefer", "accuracy"]
        words += ["--objective", score, "--objective", "latency_ms", "--strategy", "evolution"]
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 0, done.output
        front = pd.read_csv(tmp_path / score / "front.csv")
        assert np.isclose(front[score], best).any()


def test_a_strategy_that_would_only_draw_at_random_says_so(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["search", "--space", f"table:{file}", "--strategy", "evolution", "--evaluations", "12"]
    done = CliRunner().invoke(app, [*words, "--out", "a"])
    assert "draws its first 100 architectures at random, and 12 are evaluated" in done.stderr
    assert "--strategy-option alive=4" in done.stderr
    done = CliRunner().invoke(app, [*words, "--out", "b", "--strategy-option", "alive=4"])
    assert done.exit_code == 0 and "at random" not in done.stderr


def test_successive_halving_goes_through_the_fidelities(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["search", "--space", f"table:{file}", "--strategy", "successive-halving", "--out", "run"]
    words += ["--strategy-option", "width=9", "--evaluations", "5"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    front, curve = (pd.read_csv(tmp_path / "run" / name) for name in ("front.csv", "curve.csv"))
    # 9 of 10 s and 3 of 100 s make a bracket; the other 6 networks are too few for one, and 2 of them go on.
    assert curve["simulated_s"].iloc[-1] <= 500 and curve["evaluations"].iloc[-1] <= 5
    assert curve["evaluations"].iloc[-1] == pytest.approx(curve["simulated_s"].iloc[-1] / 100)
    assert set(front["val_accuracy"]) <= set(frame()["percent"] / 100)  # none of a short training


@pytest.mark.parametrize(
    ("schema", "options", "message"),
    [
        (SCHEMA.partition("[fidelities")[0], [], "has one fidelity, and the strategy needs several"),
        (SCHEMA.replace('seconds = "short_s"\n', ""), [], "seconds` above 0 and below"),
        (SCHEMA, ["--evaluations", "1"], "1 evaluations end before one is whole"),
        (SCHEMA, ["--strategy-option", "eta=1"], "eta must be at least 2"),
    ],
)
def test_successive_halving_says_what_it_lacks(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: str, options: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    file.with_suffix(".toml").write_text(schema)
    with pytest.raises(HwnasError, match=message):
        CliRunner().invoke(
            app,
            ["search", "--space", f"table:{file}", "--strategy", "successive-halving", *options],
            catch_exceptions=False,
            standalone_mode=False,
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "macs<=3"], "has no metric 'macs'"),
        (["--objective", "val_loss", "--objective", "latency_ms"], "has no metric 'val_loss'"),
        (["--objective", "val_accuracy", "--objective", "latency_ms@pi"], "has no metric 'latency_ms@pi'"),
        (["--strategy", "pnas"], "do not grow"),
        (["--strategy-option", "n_start=0"], "n_start must be at least 1"),
        (["--data", "digits", "--picks", "2"], "no use for --(data, --picks|picks, --data);"),
        (["--data", "digits", "--dry-run"], "no use for --data"),
    ],
)
def test_what_cannot_be_leaves_nothing(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(
            app,
            ["search", "--space", f"table:{file}", *words],
            catch_exceptions=False,
            standalone_mode=False,
        )
    assert not (tmp_path / "runs").exists()
