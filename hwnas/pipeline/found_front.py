"""What a finished search found, as a value of the Python API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hwnas.runs.front_file import FrontPoint, front_points, read_front
from hwnas.runs.verdict import Finding, verdict
from hwnas.tasks import outward, task_named

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True)
class Front:
    """The networks of a search: what the front was measured to be, the trained picks, and the baselines.

    >>> front = Front.read("runs/scenes-host-1")          # doctest: +SKIP
    >>> front.best.measured["test_accuracy"]              # doctest: +SKIP
    >>> front.onnx(front.best)                            # doctest: +SKIP
    """

    folder: Path
    document: Mapping[str, Any]
    """front.json: the target, the budgets and the errors of the table too; `accuracy` is the task's score."""
    points: tuple[FrontPoint, ...]

    @classmethod
    def read(cls, folder: str | Path) -> Front:
        """The front of the finished run in `folder`; DamagedFileError where there is none."""
        path = Path(folder)
        document = read_front(path)
        points = front_points(outward(document, task_named(document.get("task"))))
        return cls(path, document, tuple(points))

    @property
    def picks(self) -> list[FrontPoint]:
        """The networks that were chosen to be trained, the fastest first."""
        return sorted(
            (point for point in self.points if point.pick),
            key=lambda p: float(p.predicted.get("latency_ms", p.predicted["macs"])),
        )

    @property
    def best(self) -> FrontPoint:
        """The pick inside the budgets that is the most accurate on the validation images."""
        return next(point for point in self.points if point.arch_id == self.document["chosen"])

    @property
    def verdict(self) -> list[Finding]:
        """What to think of the run, the worst first; use none of it where a finding is `bad`."""
        return verdict(self.document)

    def model_folder(self, point: FrontPoint) -> Path | None:
        """model.onnx, weights, manifest.json of a trained network; None where it was not trained."""
        folder = self.folder / "models" / point.arch_id
        return folder if (folder / "manifest.json").exists() else None

    def onnx(self, point: FrontPoint) -> Path | None:
        """The ONNX file that the target runs, checked against torch; None where there is none."""
        from hwnas.report.run_files import deployed
        from targets.files import read_json

        folder = self.model_folder(point)
        return None if folder is None else folder / deployed(read_json(folder / "manifest.json", "manifest"))

    def to_pandas(self) -> pd.DataFrame:
        """One row per point, the columns of front.csv."""
        import pandas as pd

        return pd.DataFrame([point.row() for point in self.points])

    def __len__(self) -> int:
        return len(self.points)

    def __iter__(self) -> Iterator[FrontPoint]:
        return iter(self.points)

    def __getitem__(self, index: int) -> FrontPoint:
        return self.points[index]

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        return str(self.to_pandas().to_html(index=False))
