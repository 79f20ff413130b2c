"""The memory that ingestion takes follows its budget, not the size of the table."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS, PEOPLE = 6_000_000, 100_000

PROGRAM = """
import sys
from pathlib import Path
from amity.ingestion import IngestionConfig, ingest
folder, memory_gib = Path(sys.argv[1]), float(sys.argv[2])
peaks = []
for name in ("small", "large"):
    graph = ingest(folder / name, folder / f"{name}-{memory_gib}", IngestionConfig(memory_gib=memory_gib))
    if name == "small":  # Compiling may have taken more than ingestion does: the peak begins anew.
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    peaks.append(next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")))
print(peaks[1] - peaks[0], graph.target.adjacency.num_edges)
"""


def write_edges(path: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    path.mkdir()
    pq.write_table(pa.table({n: rng.integers(0, PEOPLE, rows) for n in ("src", "dst")}), path / "edges.parquet")


def growth(folder: Path, memory_gib: float) -> tuple[int, int]:
    """Bytes by which the peak grows from a small table to a large one, and the edges of the large one."""
    command = [sys.executable, "-c", PROGRAM, str(folder), str(memory_gib)]
    grown, edges = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(grown), int(edges)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak from /proc")
def test_a_small_budget_is_kept_and_changes_nothing(tmp_path: Path):
    write_edges(tmp_path / "small", 20_000)
    write_edges(tmp_path / "large", ROWS)
    kept, edges = growth(tmp_path, 0.125)
    unbounded, same = growth(tmp_path, 4.0)
    assert edges == same
    assert kept < 0.125 * 2**30 < unbounded
