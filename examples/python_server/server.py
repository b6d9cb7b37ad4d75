"""Answer images with their class: POST an image to /, get JSON. The folder is one of `hwnas export`."""

from __future__ import annotations

import argparse
import importlib.util
import io
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import onnxruntime
from PIL import Image, UnidentifiedImageError

MAX_BYTES = 20_000_000


def program_of(folder: Path) -> ModuleType:
    """snippets/classify.py of the export as a module."""
    spec = importlib.util.spec_from_file_location("classify", folder / "snippets" / "classify.py")
    assert spec is not None and spec.loader is not None  # a path that ends in .py has both
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def make_server(folder: Path, port: int) -> ThreadingHTTPServer:
    """A server on this machine alone; SystemExit where the golden pair does not come out right."""
    program = program_of(folder)
    if program.main(["--check"]) != 0:
        sys.exit("this machine does not answer as the golden pair says; the server does not start")
    session = onnxruntime.InferenceSession(str(program.MODEL), providers=["CPUExecutionProvider"])

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            if not 0 < size <= MAX_BYTES:
                return self._answer(413 if size else 411, {"error": f"send 1 to {MAX_BYTES} bytes"})
            try:
                image = Image.open(io.BytesIO(self.rfile.read(size)))
                scores = program.classify(session, image)
            except (UnidentifiedImageError, OSError, ValueError):
                return self._answer(415, {"error": "that is no image"})
            best = int(scores.argmax())
            return self._answer(200, {"class": program.CLASSES[best], "score": float(scores[best])})

        def _answer(self, code: int, document: dict[str, object]) -> None:
            content = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return ThreadingHTTPServer(("127.0.0.1", port), Handler)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="of `hwnas export`")
    parser.add_argument("--port", type=int, default=8000)
    given = parser.parse_args()
    if not (given.folder / "snippets" / "classify.py").is_file():
        parser.error(f"{given.folder} is no folder of `hwnas export`: it has no snippets/classify.py")
    with make_server(given.folder, given.port) as server:
        print(f"http://127.0.0.1:{server.server_port}/", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
