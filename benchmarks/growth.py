"""How the cost of each stage grows with the edges: a chart and a table of every size that `bench_scale.py` measured.

python benchmarks/growth.py        # draws benchmarks/growth.svg from benchmarks/scale/*.json
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from amity.artifacts import write_atomically
from amity.evaluation.charts import WIDTH, Frame, write_number
from amity.evaluation.style import CSS

HERE = Path(__file__).parent
CHART = HERE / "growth.svg"
SIZES = HERE / "scale"
STAGES = ("all", "tables", "ingest", "split", "train", "embed", "index")
"""What has a line; `all` is the sum, with the queries."""
STEPS = 2000
"""What training is counted by: sizes that were measured with fewer steps are drawn with as many times the seconds."""
APART = 15.0
"""Least distance between two names."""


def main() -> None:
    """Draw the chart."""
    write_atomically(CHART, draw(read_sizes()).encode())


def read_sizes() -> list[dict[str, Any]]:
    """What was measured, from the smallest size to the largest."""
    pages = [json.loads(path.read_text()) for path in SIZES.glob("*.json")]
    return sorted(pages, key=lambda page: page["edges"])


def seconds(page: dict[str, Any], stage: str) -> float:
    """What a stage took at one size, training as if it had `STEPS` steps; `all` is the sum."""
    if stage == "all":
        return sum(seconds(page, name) for name in page["stages"])
    return page["stages"][stage]["seconds"] * (STEPS / page["steps"] if stage == "train" else 1)


def table(pages: list[dict[str, Any]]) -> Iterator[str]:
    """A line of Markdown for each size: the seconds of each stage, memory and disk at most, what queries got."""
    columns = ("people", "friendships", "steps", *STAGES, "memory", "disk", "query", "recall@100")
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---:|" * len(columns)
    for page in pages:
        stages, queries = page["stages"], page["stages"]["queries"]
        cells = [f"{page['nodes']:,}", f"{page['edges']:,}", f"{page['steps']:,}"]
        cells += [write_number(seconds(page, stage), "seconds") for stage in STAGES]
        cells += [f"{max(one['memory_gib'] for one in stages.values()):.1f} GiB"]
        cells += [f"{max(one['disk_peak_gb'] for one in stages.values()):.1f} GB"]
        cells += [f"{queries['p50_ms']:.2g} ms", f"{queries['recall']:.3f}"]
        yield f"| {' | '.join(cells)} |"


@dataclass(frozen=True, slots=True)
class Paper:
    """Powers of ten on both axes."""

    frame: Frame
    low: int
    high: int
    bottom: int
    top: int

    def x(self, edges: float) -> float:
        """Where so many friendships stand."""
        return self.frame.x((math.log10(edges) - self.low) / (self.high - self.low))

    def y(self, time_s: float) -> float:
        """Where so many seconds stand; less than a tenth of one is drawn as that."""
        return self.frame.y(math.log10(max(0.1, time_s)) - self.bottom)


def draw(pages: list[dict[str, Any]]) -> str:
    """Seconds against friendships, on logarithmic axes, and a dashed line that grows as the edges do."""
    times = [max(0.1, seconds(page, stage)) for page in pages for stage in STAGES]
    low, high = math.floor(math.log10(pages[0]["edges"])), math.floor(math.log10(pages[-1]["edges"])) + 1
    bottom, top = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))
    paper = Paper(Frame(top - bottom, left=52, right=76, height=360, above=28, below=52), low, high, bottom, top)
    body = "".join([*_axes(paper), *_lines(paper, pages), *_names(paper, pages[-1])])
    height, sentence = paper.frame.height, "Seconds of each stage against friendships, on logarithmic axes."
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{sentence}" font-family="sans-serif"><style>{escape(CSS, quote=False)}</style>'
        f'<rect width="{WIDTH}" height="{height}" style="fill: var(--card)"/>{body}</svg>\n'
    )


def _axes(paper: Paper) -> Iterator[str]:
    frame, right = paper.frame, paper.frame.x(1)
    yield _text("tick", 8, 14, "seconds")
    for power in range(paper.bottom, paper.top + 1):
        style, y = "axis" if power == paper.bottom else "grid", paper.y(10.0**power)
        yield f'<path class="{style}" d="M{frame.left} {y:.1f}H{right:.1f}"/>'
        yield _text("tick", frame.left - 8, y + 4, f"{10.0**power:,.10g}", "end")
    for power in range(paper.low, paper.high + 1):
        yield _text("tick", paper.x(10.0**power), frame.height - 32, _round_number(10**power), "middle")
    yield _text("tick", (frame.left + right) / 2, frame.height - 10, "friendships (each is two edges)", "middle")
    reach = min(paper.high - paper.low, paper.top - paper.bottom)
    x, y = paper.x(10.0 ** (paper.high - reach)), paper.y(10.0 ** (paper.top - reach))
    end = f"{paper.x(10.0**paper.high):.1f} {paper.y(10.0**paper.top):.1f}"
    yield f'<path class="axis" stroke-dasharray="2 5" d="M{x:.1f} {y:.1f}L{end}"><title>linear</title></path>'


def _lines(paper: Paper, pages: list[dict[str, Any]]) -> Iterator[str]:
    for number, stage in reversed(list(enumerate(STAGES))):
        points = [f"{paper.x(page['edges']):.1f},{paper.y(seconds(page, stage)):.1f}" for page in pages]
        yield f'<polyline class="line c{number}" points="{" ".join(points)}"/>'
        for point, page in zip(points, pages, strict=True):
            x, _, y = point.partition(",")
            label = escape(f"{stage}, {page['edges']:,}: {write_number(seconds(page, stage), 'seconds')}")
            yield f'<circle class="fill c{number}" cx="{x}" cy="{y}" r="3"><title>{label}</title></circle>'


def _names(paper: Paper, last: dict[str, Any]) -> Iterator[str]:
    """The stages at the ends of their lines, from the top, each at least `APART` below the one before."""
    wanted = sorted((paper.y(seconds(last, stage)), number, stage) for number, stage in enumerate(STAGES))
    height = -APART
    for y, number, stage in wanted:
        height = max(y, height + APART)
        yield _text(f"end text c{number}", paper.x(last["edges"]) + 8, height + 4, stage)


def _text(style: str, x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _round_number(value: int) -> str:
    unit, divisor = ("G", 10**9) if value >= 10**9 else ("M", 10**6) if value >= 10**6 else ("k", 10**3)
    return f"{value / divisor:g} {unit}"


if __name__ == "__main__":
    main()
