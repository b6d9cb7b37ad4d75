"""Where a compiler finds onnxruntime: the headers of a package, the library of the wheel.

Where no package brings the headers, `stand_in` declares what the exported programs call of them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import onnxruntime

HEADER = "onnxruntime_cxx_api.h"
STAND_IN = Path(__file__).parent / "stand_in"
_INSIDE = ("", "onnxruntime", "onnxruntime/core/session")
"""Folders of an include path in which packages put it: the release archive, Debian, conda and vcpkg."""


def headers() -> Path | None:
    """The folder of the C++ headers; None where there are none.

    `ONNXRUNTIME_INCLUDE` says where; else they are where packages of Debian, conda and pip put them.
    """
    stated = os.environ.get("ONNXRUNTIME_INCLUDE")
    roots = [stated] if stated else [sys.prefix + "/include", "/usr/include", "/usr/local/include"]
    if not stated and "CONDA_PREFIX" in os.environ:
        roots.append(os.environ["CONDA_PREFIX"] + "/include")
    places = [Path(root, inside) for root in roots for inside in _INSIDE]
    places.append(Path(onnxruntime.__file__).parent / "include")
    return next((place for place in places if (place / HEADER).is_file()), None)


def library() -> Path | None:
    """The shared library that the Python package brings; None where it is named in another way."""
    return next(iter(sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))), None)


def no_compiler() -> str:
    """What is not there to compile a program with; empty where all is."""
    return "there is no g++" if shutil.which("g++") is None else ""


def lacking() -> str:
    """What is not there to compile a program and run it on its network; empty where all is."""
    if no_compiler():
        return no_compiler()
    if headers() is None:
        return f"{HEADER} is not installed (pip does not bring it); ONNXRUNTIME_INCLUDE says where it is"
    return "" if library() is not None else "the onnxruntime of pip has no libonnxruntime.so here"


def compiled(source: Path, *more: str, place: Path | None = None) -> None:
    """Compile a program without a warning.

    more: for the compiler. place: of the headers; None for those of a package, else the stand-in.
    """
    place = place or headers() or STAND_IN
    words = ["g++", "-std=c++17", "-Wall", "-Werror", str(source), "-isystem", str(place), *more]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def checks_itself(folder: Path) -> None:
    """The program of an export, compiled, answers the recommended file's golden pair."""
    shared = library()
    assert shared is not None
    (folder / "lib").mkdir()
    (folder / "lib" / "libonnxruntime.so.1").symlink_to(shared)  # the name that it is loaded by
    program = folder / "program"
    (source,) = (folder / "snippets").glob("*.cpp")
    compiled(source, str(shared), "-o", str(program))
    file = json.loads((folder / "manifest.json").read_text())["recommended"]
    done = subprocess.run(
        [str(program), str(folder / file), str(folder / "golden/input.raw"), "--check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LD_LIBRARY_PATH": str(folder / "lib")},
    )
    assert done.returncode == 0 and "good" in done.stdout, done.stdout + done.stderr
