"""The built wheel holds every package, its data and the licence, and works away from the checkout."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


ROOT = Path(__file__).parents[2]
PACKAGES = ("targets", "profilers", "lut", "hwnas")


def pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    source = tmp_path_factory.mktemp("source")  # a copy, because a build leaves folders behind
    for package in PACKAGES:
        shutil.copytree(ROOT / package, source / package, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("cli.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    out = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--no-deps", "--no-build-isolation", "-w", out, source)
    (built,) = out.glob("hwnas-*.whl")
    return built


def test_everything_is_in_it(wheel: Path) -> None:
    expected = {"cli.py"}
    for package in PACKAGES:
        files = (ROOT / package).rglob("*")
        expected |= {str(p.relative_to(ROOT)) for p in files if p.suffix in (".py", ".toml", ".typed")}
    names = set(zipfile.ZipFile(wheel).namelist())
    assert expected - names == set()
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == {"cli.py", *PACKAGES}
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_it_works_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    pip("install", "--no-deps", "--target", site, wheel)
    code = (
        "import sys, targets, cli; assert targets.__file__.startswith(sys.argv[1]), targets.__file__; "
        "print(targets.load_target('host').name); sys.exit(cli.run(['spaces', 'show', 'mobile']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(site)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("host\n")
    assert "[[stages]]" in done.stdout
