"""The table of NAS-Bench-201: the true accuracy of every architecture (Dong and Yang 2020, 2001.00326).

python -m benchmarks.nasbench201 TABLE.csv [ARCHITECTURE …]
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from targets.errors import DamagedFileError, UsageError

DATA_SETS = ("c10", "c100", "in16")
COLUMNS = ("arch_str", *(f"{d}_{split}200" for d in DATA_SETS for split in ("val", "test")))


@dataclass(frozen=True)
class Table:
    """Accuracies in percent after 200 epochs, by architecture string."""

    rows: pd.DataFrame

    @classmethod
    def read(cls, path: Path) -> Table:
        """The table of a CSV file with the columns `COLUMNS`; DamagedFileError where it is none."""
        try:
            rows = pd.read_csv(path)
        except FileNotFoundError:
            raise UsageError(f"{path} does not exist; give the CSV table of NAS-Bench-201") from None
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise DamagedFileError(f"{path} is no CSV table: {error}") from None
        if missing := [c for c in COLUMNS if c not in rows.columns]:
            raise DamagedFileError(f"{path} has no columns {', '.join(missing)}")
        rows = rows.set_index("arch_str")
        if not rows.index.is_unique:
            raise DamagedFileError(f"{path} lists an architecture twice")
        return cls(rows)

    def accuracy(self, text: str, data_set: str = "c10", split: str = "test") -> float:
        """Percent; data_set c10, c100 or in16; split val (to search on) or test (to report)."""
        column = f"{data_set}_{split}200"
        if column not in COLUMNS:
            raise UsageError(f"no accuracies of {data_set} {split}; there are {', '.join(COLUMNS[1:])}")
        if text not in self.rows.index:
            raise UsageError(f"{text[:100]!r} is not in the table of NAS-Bench-201")
        return float(self.rows[column][text])

    def best(self, data_set: str = "c10", split: str = "test") -> tuple[str, float]:
        """The architecture with the highest accuracy, and that."""
        column = self.rows[f"{data_set}_{split}200"]
        return str(column.idxmax()), float(column.max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", type=Path)
    parser.add_argument("architecture", nargs="*")
    args = parser.parse_args()
    table = Table.read(args.table)
    for text in args.architecture or [table.best()[0]]:
        values = "  ".join(f"{d} {table.accuracy(text, d):.2f} %" for d in DATA_SETS)
        print(f"{text}  test: {values}")


if __name__ == "__main__":
    main()
