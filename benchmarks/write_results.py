"""Run every benchmark, one after the other, and write what they measured to `benchmarks/RESULTS.md`.

    make bench                                            # or: python benchmarks/write_results.py [--only topk ...]
    python benchmarks/write_results.py --only             # write the page again from what was measured before

A benchmark is a `bench_*.py` beside this file that, given `--json`, prints `{"rows": [...]}` with the rows of
`measure.py`. What each one measured is kept in `benchmarks/results/`, with the day, the machine and the versions; the
page is made of that, of `benchmarks/notes/`, and of the sizes in `benchmarks/scale/`. A benchmark that fails leaves
what it measured last.
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

import growth
from amity.artifacts import write_atomically

HERE = Path(__file__).parent
RESULTS, NOTES = HERE / "results", HERE / "notes"
PACKAGES = ("amity", "torch", "numba", "numpy", "pyarrow", "faiss-cpu", "torch-geometric", "duckdb")


def main() -> None:
    """Measure, keep, write the page; ends with 1 where a benchmark failed."""
    names = [path.stem.removeprefix("bench_") for path in sorted(HERE.glob("bench_*.py"))]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=names, default=names, help="leave out the others")
    chosen = parser.parse_args().only
    failed = [name for name in chosen if not measure(name)]
    if sizes := growth.read_sizes():
        write_atomically(growth.CHART, growth.draw(sizes).encode())
    write_atomically(HERE / "RESULTS.md", page(names).encode())
    if failed:
        raise SystemExit(f"Failed, and left as it was measured last: {', '.join(failed)}.")


def measure(name: str) -> bool:
    """Run a benchmark and keep its rows; whether it ended well. Its progress and its faults go to stderr."""
    print(f"bench_{name}.py ...", file=sys.stderr, flush=True)
    ended = subprocess.run(
        [sys.executable, str(HERE / f"bench_{name}.py"), "--json"], check=False, stdout=subprocess.PIPE, text=True
    )
    if ended.returncode:
        return False
    found = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine(),
        "versions": versions(),
        "rows": json.loads(ended.stdout)["rows"],
    }
    RESULTS.mkdir(exist_ok=True)
    write_atomically(RESULTS / f"{name}.json", (json.dumps(found, indent=1) + "\n").encode())
    return True


def page(names: list[str]) -> str:
    """The page as Markdown: a table and its notes for each benchmark."""
    lines = [
        "# Benchmarks",
        "",
        "`make bench` measures all of it again. Ours and the peer run in turn, in one script, on the same threads;",
        "figures are medians. A ratio above 1 means that ours is better; a dash, that there is no peer.",
    ]
    for name in names:
        lines += ["", f"## {name}", "", f"`python benchmarks/bench_{name}.py`", "", *measured(name)]
        if name == "scale":
            lines += all_sizes()
        note = NOTES / f"{name}.md"
        if note.is_file():
            lines += ["", note.read_text(encoding="utf-8").strip()]
    return "\n".join([*lines, ""])


def measured(name: str) -> list[str]:
    """The table of one benchmark, under when and where it was measured."""
    kept = RESULTS / f"{name}.json"
    if not kept.is_file():
        return ["Not measured yet."]
    found = json.loads(kept.read_text())
    lines = [f"Measured on {found['date']}, {found['machine']}; {found['versions']}.", ""]
    lines += ["| | ours | peer | ratio | unit |", "|---|---:|---:|---:|---|"]
    return lines + [f"| {' | '.join(cells(row))} |" for row in found["rows"]]


def all_sizes() -> list[str]:
    """Every size that was measured, and the chart of them."""
    sizes = growth.read_sizes()
    if not sizes:
        return []
    chart = f"![Seconds of each stage against friendships]({growth.CHART.name})"
    told = f"Training is counted as {growth.STEPS:,} steps, at the seconds a step of those that were measured."
    return ["", chart, "", told, "", *growth.table(sizes)]


def cells(row: dict[str, Any]) -> list[str]:
    """A row as it is shown; where there is no peer, a dash."""
    peer = [write(row["peer"]), f"{row['ratio']:.2f}"] if row["peer"] else ["–", "–"]
    return [row["name"], write(row["ours"]), *peer, row["unit"]]


def write(value: float) -> str:
    """A number with as many digits as one reads."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def versions() -> str:
    """Python, and the packages that are installed."""
    installed = {one.metadata["Name"].lower(): one.version for one in importlib.metadata.distributions()}
    found = [f"{name} {installed[name]}" for name in PACKAGES if name in installed]
    return ", ".join([f"Python {platform.python_version()}", *found])


def machine() -> str:
    """Cores, processor and memory."""
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{os.cpu_count()} cores, {models[0] if models else platform.machine()}, {memory_gib:.0f} GiB of memory"


if __name__ == "__main__":
    main()
