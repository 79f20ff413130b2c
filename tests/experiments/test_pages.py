from pathlib import Path

ROOT = Path(__file__).parents[2]


def first_table(path: Path, *, after: str) -> list[str]:
    """The rows of the first table behind some text, in Markdown."""
    _, _, rest = path.read_text(encoding="utf-8").partition(after)
    lines = rest.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith("|"))
    end = next(number for number in range(start, len(lines)) if not lines[number].startswith("|"))
    return lines[start:end]


def test_the_readme_shows_the_results_at_a_glance():
    shown = first_table(ROOT / "README.md", after="<!-- results -->")
    found = first_table(ROOT / "experiments" / "RESULTS.md", after="at a glance")
    assert len(found) > 2
    assert shown == found
