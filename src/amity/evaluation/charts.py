"""Charts as SVG text: no script, no font, no file beside them; colours come from the classes of the page.

Every chart carries a sentence for those who cannot see it, and every mark its number as a tooltip.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 480
"""Width of a chart in its own units; half a page on a screen, the whole page on a phone."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A number with its interval, NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one bar in every group; `style` is a class of the page, such as `c0`."""

    name: str
    style: str
    marks: Sequence[Mark]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where numbers lie on the paper: the y axis runs from 0 to `top`, the x axis from 0 to 1."""

    top: float
    left: int = 44
    right: int = 12
    height: int = 260
    above: int = 12
    below: int = 34

    def x(self, share: float) -> float:
        """From the left edge of the plot to its right edge."""
        return self.left + share * (WIDTH - self.left - self.right)

    def y(self, value: float) -> float:
        """From the bottom of the plot to its top."""
        return self.height - self.below - value / self.top * (self.height - self.above - self.below)


def dots(filled: float, *, ringed: float, sentence: str, total: int = 100, columns: int = 20) -> str:
    """A field of dots of which `filled` are full, the last of them perhaps in part, and `ringed` have a ring."""
    pitch = WIDTH / columns
    parts = []
    for number in range(total):
        x, y = pitch * (number % columns + 0.5), pitch * (number // columns + 0.5)
        parts.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="{0.36 * pitch:.1f}"/>')
        share = min(1.0, filled - number)
        if share > 0:
            parts.append(f'<circle class="fill c0" cx="{x:.1f}" cy="{y:.1f}" r="{0.36 * pitch * share**0.5:.1f}"/>')
        if number + 0.5 < ringed:
            parts.append(f'<circle class="ring" cx="{x:.1f}" cy="{y:.1f}" r="{0.45 * pitch:.1f}"/>')
    return _svg(parts, math.ceil(total / columns) * pitch, sentence)


def curves(series: Sequence[Series], positions: Sequence[float], ticks: dict[str, float], *, sentence: str) -> str:
    """Lines over x positions between 0 and 1, named at their right ends; the first series is drawn on top.

    `ticks` are the labels of the x axis and where they stand. A line skips NaN.
    """
    labelled = len(series) > 1
    frame = Frame(_round_up(_highest(series)), right=138 if labelled else 16)
    parts = [*_grid(frame), *(_label_x(frame, frame.x(share), [text]) for text, share in ticks.items())]
    for one in reversed(series):
        points = [(frame.x(p), m) for p, m in zip(positions, one.marks, strict=True) if not math.isnan(m.value)]
        parts.append(_band(frame, points, one.style))
        path = " ".join(f"{x:.1f},{frame.y(mark.value):.1f}" for x, mark in points)
        parts.append(f'<polyline class="line {one.style}" points="{path}"/>')
        if len(points) <= 12:
            parts.extend(
                f'<circle class="fill {one.style}" cx="{x:.1f}" cy="{frame.y(m.value):.1f}" r="3.5">'
                f"<title>{escape(one.name)}: {_interval(m)}</title></circle>"
                for x, m in points
            )
    if labelled:
        parts.extend(_end_labels(frame, series))
    return _svg(parts, float(frame.height), sentence)


def paths(
    series: Sequence[Series], positions: Sequence[Sequence[float]], labels: Sequence[str], *, most: float, sentence: str
) -> str:
    """Lines through points whose x positions differ from line to line, on an axis from 0 to `most`.

    Whole numbers are marked on it. The points of every line are labelled, those of the first above it, of all others
    below, where there is room.
    """
    frame = Frame(_round_up(_highest(series)), right=24, above=22)
    ticks = range(math.floor(most) + 1)
    parts = [*_grid(frame), *(_label_x(frame, frame.x(tick / most), [str(tick)]) for tick in ticks)]
    for place, (one, xs) in enumerate(zip(series, positions, strict=True)):
        points = [(frame.x(x / most), frame.y(m.value), m) for x, m in zip(xs, one.marks, strict=True)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _ in points)
        parts.append(f'<polyline class="line {one.style}" points="{path}"/>')
        written: list[tuple[float, float]] = []
        for (x, y, found), label in zip(points, labels, strict=True):
            title = f"<title>{escape(one.name)}, {escape(label)}: {_interval(found)}</title>"
            parts.append(f'<circle class="fill {one.style}" cx="{x:.1f}" cy="{y:.1f}" r="3.5">{title}</circle>')
            if all(math.hypot(x - far, y - above) > 26 for far, above in written):
                written.append((x, y))
                text = f'x="{x:.1f}" y="{y + (18 if place else -9):.1f}" text-anchor="middle"'
                parts.append(f'<text class="tick text {one.style}" {text}>{escape(label)}</text>')
    return _svg(parts, float(frame.height), sentence)


def grouped_bars(groups: Sequence[Sequence[str]], series: Sequence[Series], *, sentence: str) -> str:
    """A group of bars for each label, one bar a series, with whiskers for the intervals.

    A label is one or several lines of text. A missing number (NaN) leaves a gap.
    """
    frame = Frame(_round_up(_highest(series)), below=56)
    parts = _grid(frame)
    width = (frame.x(1) - frame.x(0)) / len(groups)
    bar = min(26.0, 0.8 * width / len(series))
    for number, lines in enumerate(groups):
        middle = frame.x(0) + width * (number + 0.5)
        parts.append(_label_x(frame, middle, lines))
        for place, one in enumerate(series):
            mark = one.marks[number]
            if not math.isnan(mark.value):
                left = middle + (place - len(series) / 2) * bar
                parts.append(_bar(frame, left, bar, mark, one))
    return _svg(parts, float(frame.height), sentence)


def ranked_bars(series: Sequence[Series], *, sentence: str, unit: str = "percent") -> str:
    """One bar a series from left to right, its name before it and its number behind; `unit` as in `write_number`."""
    left, right, step = 146, 62, 30
    longest = max([1e-12, *(_finite(mark.high, mark.value) for one in series for mark in one.marks)])
    scale = (WIDTH - left - right) / longest
    parts = []
    for number, one in enumerate(series):
        mark, y = one.marks[0], number * step + 4
        end = left + scale * mark.value
        far = left + scale * _finite(mark.high, mark.value)
        parts.append(
            f'<text class="name {one.style}" x="{left - 10}" y="{y + 15}" text-anchor="end">{escape(one.name)}</text>'
        )
        parts.append(f'<rect class="fill {one.style}" x="{left}" y="{y}" width="{end - left:.1f}" height="20" rx="3"/>')
        if not math.isnan(mark.low):
            low = left + scale * mark.low
            parts.append(f'<path class="whisker" d="M{low:.1f} {y + 10}H{far:.1f}"/>')
        parts.append(f'<text class="number" x="{far + 8:.1f}" y="{y + 15}">{write_number(mark.value, unit)}</text>')
    return _svg(parts, float(len(series) * step), sentence)


def write_number(value: float, unit: str) -> str:
    """A number as people read it: `percent`, `seconds`, `bytes`, or plain."""
    if math.isnan(value):
        return "–"
    if unit == "percent":
        return f"{100 * value:.1f} %"
    if unit == "seconds":
        text = f"{1000 * value:.0f} ms" if value < 0.1 else f"{value:.1f} s"
        return text if value < 120 else f"{value / 60:.1f} min"
    if unit == "bytes":
        return f"{value / 2**20:,.0f} MiB" if value < 2**30 else f"{value / 2**30:.1f} GiB"
    return f"{value:,.4g}"


def _svg(parts: Sequence[str], height: float, sentence: str) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(sentence)}">{body}</svg>'


def _grid(frame: Frame) -> list[str]:
    """Four lines across, each with its number before it."""
    parts = []
    for quarter in range(5):
        value = frame.top * quarter / 4
        y = frame.y(value)
        style = "axis" if quarter == 0 else "grid"
        parts.append(f'<path class="{style}" d="M{frame.x(0):.1f} {y:.1f}H{frame.x(1):.1f}"/>')
        text = f"{value:.3g}"
        parts.append(f'<text class="tick" x="{frame.left - 8}" y="{y + 4:.1f}" text-anchor="end">{text}</text>')
    return parts


def _label_x(frame: Frame, x: float, lines: Sequence[str]) -> str:
    texts = []
    for number, line in enumerate(lines):
        style, y = ("tick" if number == 0 else "tick faint"), frame.height - frame.below + 19 + 16 * number
        texts.append(f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="middle">{escape(line)}</text>')
    return "".join(texts)


def _bar(frame: Frame, left: float, width: float, mark: Mark, series: Series) -> str:
    top, bottom, middle = frame.y(mark.value), frame.y(0), left + width / 2
    title = f"<title>{escape(series.name)}: {_interval(mark)}</title>"
    box = f'x="{left + 0.5:.1f}" y="{top:.1f}" width="{width - 1:.1f}" height="{bottom - top:.1f}" rx="1.5"'
    whisker = ""
    if not math.isnan(mark.low):
        whisker = f'<path class="whisker" d="M{middle:.1f} {frame.y(mark.low):.1f}V{frame.y(mark.high):.1f}"/>'
    return f'<g>{title}<rect class="fill {series.style}" {box}/>{whisker}</g>'


def _band(frame: Frame, points: Sequence[tuple[float, Mark]], style: str) -> str:
    """The intervals of a line, as an area behind it."""
    known = [(x, mark) for x, mark in points if not math.isnan(mark.low)]
    edge = [f"{x:.1f},{frame.y(mark.high):.1f}" for x, mark in known]
    edge += [f"{x:.1f},{frame.y(mark.low):.1f}" for x, mark in reversed(known)]
    return f'<polygon class="band {style}" points="{" ".join(edge)}"/>' if len(known) > 1 else ""


def _end_labels(frame: Frame, series: Sequence[Series]) -> list[str]:
    """Names at the ends of the lines, pushed apart where they would overlap."""
    wanted = sorted(((frame.y(one.marks[-1].value), one) for one in series), key=lambda pair: pair[0])
    heights: list[float] = []
    for y, _ in wanted:
        heights.append(max(y, heights[-1] + 17) if heights else y)
    overshoot = max(0.0, heights[-1] - (frame.height - frame.below)) if heights else 0.0
    return [
        f'<text class="end text {one.style}" x="{frame.x(1) + 10:.1f}" y="{height - overshoot + 4:.1f}">'
        f"{escape(one.name)}</text>"
        for height, (_, one) in zip(heights, wanted, strict=True)
    ]


def _interval(mark: Mark) -> str:
    interval = "" if math.isnan(mark.low) else f" [{mark.low:.3f}, {mark.high:.3f}]"
    return f"{mark.value:.3f}{interval}"


def _highest(series: Sequence[Series]) -> float:
    values = [_finite(mark.high, mark.value) for one in series for mark in one.marks if not math.isnan(mark.value)]
    return max(values, default=1.0)


def _finite(value: float, otherwise: float) -> float:
    return otherwise if math.isnan(value) else value


def _round_up(value: float) -> float:
    """The next number above that divides into four readable steps."""
    if value <= 0:
        return 1.0
    power = 10 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 1.2, 1.6, 2, 2.4, 3.2, 4, 6, 8, 10) if step * power >= value * 0.9999)
