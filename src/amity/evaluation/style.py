"""How the report looks: one style sheet, light and dark, wide and narrow; a page, or a chart by itself."""

import re
from html import escape

COLORS = """
:root { color-scheme: light dark; --paper: #f7f6f3; --card: #ffffff; --ink: #1d1c22; --soft: #65636f; --edge: #e4e2dc;
  --rule: #eceae5; --empty: #e9e7e2; --c0: #5646d8; --c1: #85838d; --c2: #2f86b8; --c3: #16866a; --c4: #b07a12;
  --c5: #c4512d; --c6: #96488f; --c7: #5f7a1c; --c8: #a8435f; --good: #16866a; --bad: #b8452a; }
@media (prefers-color-scheme: dark) { :root { --paper: #131217; --card: #1c1b21; --ink: #f0eff4; --soft: #a3a1ae;
  --edge: #302e38; --rule: #2a2832; --empty: #302e38; --c0: #a297ff; --c1: #9b99a5; --c2: #6cb8e6; --c3: #4cc3a1;
  --c4: #e2b04c; --c5: #f08a66; --c6: #d88fd1; --c7: #a9c75a; --c8: #f0899f; --good: #4cc3a1; --bad: #f08a66; } }
"""
PAPER = """
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.5; -webkit-text-size-adjust: 100%;
  font: 16px/1.5 Inter, ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 28px 20px 56px; }
header { display: flex; justify-content: space-between; flex-wrap: wrap; gap: 4px 24px; margin-bottom: 22px;
  color: var(--soft); font-size: 14px; }
header b { color: var(--ink); font-size: 17px; letter-spacing: -0.01em; }
header b i { color: var(--c0); font-style: normal; }
h1 { font-size: clamp(30px, 5vw, 46px); line-height: 1.08; letter-spacing: -0.03em; margin: 0 0 16px;
  font-weight: 680; text-wrap: balance; }
h1 em { font-style: normal; white-space: nowrap; color: var(--c0); }
h2 { font-size: 18px; letter-spacing: -0.01em; margin: 0; font-weight: 640; }
p { margin: 0; } .lead { font-size: 17px; color: var(--soft); max-width: 56ch; } .lead b { color: var(--ink); }
.note { color: var(--soft); font-size: 14px; margin: 4px 0 14px; max-width: 62ch; }
.up, .down, .even { font-weight: 600; white-space: nowrap; } .up { color: var(--good); } .down { color: var(--bad); }
.cards { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 18px; margin-top: 18px; }
section { background: var(--card); border: 1px solid var(--edge); border-radius: 14px; padding: 22px 24px;
  min-width: 0; }
section.wide { grid-column: 1 / -1; }
.hero { display: grid; grid-template-columns: minmax(0, 1.12fr) minmax(0, 1fr); gap: 20px 44px; align-items: center;
  padding: 36px 36px 32px; }
figure { margin: 0; } figcaption { color: var(--soft); font-size: 13px; margin-top: 10px; }
.facts { display: flex; flex-wrap: wrap; gap: 14px 32px; margin-top: 24px; }
.facts div { font-size: 13px; color: var(--soft); } .facts b { display: block; font-size: 22px; color: var(--ink);
  letter-spacing: -0.02em; font-weight: 640; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; color: var(--soft); margin: 0 0 10px;
  padding: 0;
  list-style: none; } .legend i { display: inline-block; width: 11px; height: 11px; border-radius: 3px;
  margin-right: 6px; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: 14px;
  font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 550; color: var(--soft); } th, td { padding: 6px 14px 6px 0; white-space: nowrap;
  border-bottom: 1px solid var(--rule); vertical-align: top; } td { text-align: right;
  } tr:last-child > * { border: 0; }
thead th:not(:first-child) { text-align: right; } td small { color: var(--soft); font-size: 12px; display: block; }
tr.model > * { color: var(--c0); font-weight: 640; } table.pairs { max-width: 640px; }
.pairs td { white-space: normal; overflow-wrap: anywhere; }
summary { cursor: pointer; font-size: 18px; font-weight: 640; letter-spacing: -0.01em;
  } details > div { margin-top: 14px; }
footer { color: var(--soft); font-size: 13px; margin-top: 26px; }
@media (max-width: 760px) { main { padding: 18px 12px 40px; } .cards { grid-template-columns: minmax(0, 1fr);
  gap: 12px; }
  .hero { grid-template-columns: minmax(0, 1fr); padding: 24px 20px; } section { padding: 18px 16px; }
  svg text { font-size: 14px; } svg .tick, svg .end { font-size: 14px; } svg .faint { font-size: 13.5px; } }
@media print { body { background: #fff; } section { break-inside: avoid; } }
"""
CHARTS = """
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg text { font-size: 13px; fill: var(--ink); font-variant-numeric: tabular-nums; }
svg .tick { fill: var(--soft); font-size: 12.5px; } svg .faint { font-size: 11.5px; opacity: 0.85; }
svg .end { font-weight: 550; font-size: 12.5px; } svg .number { font-weight: 600; }
svg .end.c0, svg .name.c0 { font-weight: 700; }
path.grid { stroke: var(--rule); stroke-width: 1; } rect.fill:not(.c0), .legend i:not(.c0) { opacity: 0.74; }
path.axis { stroke: var(--soft);
  stroke-width: 1; }
.whisker { stroke: var(--ink); stroke-width: 1.4; opacity: 0.6; } .dot { fill: var(--empty); }
.ring { fill: none; stroke: var(--soft); stroke-width: 1.3; }
.line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; } .line.c0 { stroke-width: 3.2; }
.band { opacity: 0.13; stroke: none; }
""" + "".join(
    f".fill.c{n}, .band.c{n}, .text.c{n} {{ fill: var(--c{n}) !important; }} .line.c{n} {{ stroke: var(--c{n}); }} "
    f".legend .c{n} {{ background: var(--c{n}); }}\n"
    for n in range(9)
)
CSS = COLORS + CHARTS + PAPER
"""The style sheet; class `c0` is the model, `c1` and on are the baselines."""


def frame_page(name: str, body: str, *, made: str = "", footer: str) -> str:
    """A whole page that needs nothing beside it; `body` and `footer` are HTML, the rest is text."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>amity {escape(name)}</title><style>{CSS}</style></head><body><main>"
        f"<header><span><b>amity<i>.</i></b> {escape(name)}</span><span>{escape(made)}</span></header>"
        f"{body}<footer>{footer}</footer></main></body></html>\n"
    )


def standalone(chart: str) -> str:
    """A chart of `charts` as a file of its own, on white, in the colours of a light page."""
    colors = dict(re.findall(r"--(\w+): (#\w+)", COLORS.partition("@media")[0]))
    css = re.sub(r"var\(--(\w+)\)", lambda found: colors[found[1]], CHARTS)
    opening, body = chart.split(">", 1)
    opening = opening.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" ', 1)
    return f'{opening}><style>{css}</style><rect width="100%" height="100%" fill="{colors["card"]}"/>{body}\n'
