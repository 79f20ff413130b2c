"""Run every benchmark, one after the other, and write what they measured to `benchmarks/RESULTS.md`.

    make bench                                            # or: python benchmarks/write_results.py [--only topk ...]

A benchmark is a `bench_*.py` beside this file that, given `--json`, prints one document: a list of rows, or an object
whose `rows` they are. A row has a `name`, `ours`, `unit` and, where there is something to compare with, `peer` and
`ratio` (ours / peer, above 1 where ours is better).
"""

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from amity.artifacts import write_atomically

HERE = Path(__file__).parent
PACKAGES = ("amity", "torch", "numba", "numpy", "pyarrow", "faiss-cpu")
COLUMNS = ("name", "ours", "peer", "ratio", "unit")


def main() -> None:
    """Measure, then write: a benchmark that fails leaves the old page as it was."""
    names = [path.stem.removeprefix("bench_") for path in sorted(HERE.glob("bench_*.py"))]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="leave out the others")
    tables = {name: measure(HERE / f"bench_{name}.py") for name in parser.parse_args().only}
    write_atomically(HERE / "RESULTS.md", page(tables).encode())


def measure(script: Path) -> list[dict[str, Any]]:
    """The rows that a benchmark prints; its progress and its faults go to stderr."""
    print(f"{script.name} ...", file=sys.stderr, flush=True)
    ended = subprocess.run([sys.executable, str(script), "--json"], check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(ended.stdout)
    return found["rows"] if isinstance(found, dict) else found


def page(tables: dict[str, list[dict[str, Any]]]) -> str:
    """The page as Markdown: a table for each benchmark, under what they ran on."""
    lines = [
        "# Benchmarks",
        "",
        f"Measured on {datetime.now(UTC):%Y-%m-%d}; `make bench` measures all of it again. Ratio: ours / peer.",
        "",
        f"- machine: {machine()}",
        f"- versions: Python {platform.python_version()}, "
        + ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES),
    ]
    for name, rows in tables.items():
        lines += ["", f"## {name}", "", f"`python benchmarks/bench_{name}.py`", ""]
        lines += [f"| {' | '.join(COLUMNS)} |", "|---" + "|---:" * (len(COLUMNS) - 2) + "|---|"]
        lines += [f"| {' | '.join(cells(row))} |" for row in rows]
        lines += [f"\n{note}" for row in rows if (note := details(row))]
    return "\n".join([*lines, ""])


def cells(row: dict[str, Any]) -> list[str]:
    """A row as it is shown; what it does not have is a dash."""
    rate = {"ours": row["rows_per_second"], "unit": "rows/s"} if "rows_per_second" in row else {}
    return [write({**rate, **row}.get(column)) for column in COLUMNS]


def details(row: dict[str, Any]) -> str:
    """What else a row tells, such as its peak memory."""
    others = {name: value for name, value in row.items() if name not in (*COLUMNS, "rows_per_second")}
    listed = ", ".join(f"{name} {write(value)}" for name, value in others.items())
    return f"{row['name']}: {listed}." if listed else ""


def write(value: object) -> str:
    """A number with as many digits as one reads."""
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def machine() -> str:
    """Cores, processor and memory."""
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {models[0] if models else platform.machine()}, {memory_gib:.0f} GiB of memory"


if __name__ == "__main__":
    main()
