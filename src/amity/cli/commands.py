"""What the commands do: merge settings, call the pipeline, show the result."""

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import PositiveInt

from amity import pipeline
from amity.artifacts import Record, write_atomically
from amity.cli.flags import given, takes_settings
from amity.cli.output import SPOKEN, Output, stage_lines, trials_table
from amity.errors import ConfigError
from amity.evaluation import (
    DamageConfig,
    comparison_table,
    render_robustness,
    results_table,
    robustness_table,
    summarize_robustness,
)
from amity.evaluation import compare as compare_tables
from amity.log import set_silent
from amity.retrieval import AnyRetriever, DividedRetriever, top_k
from amity.retrieval import explain as explain_candidates

RunPath = Annotated[Path, Parameter(name="RUN", help="The directory of the run.")]
RawIds = Annotated[str, Parameter(name="ID", help="A raw id that asks: 42, or user:42 where the kind must be said.")]
Length = Annotated[PositiveInt, Parameter(name="-k", help="How many candidates each id gets.")]
People = Annotated[PositiveInt, Parameter(help="How many people the network has.")]
Data = Annotated[Path | None, Parameter(help="The directory of the tables; by default that of last time.")]
File = Annotated[Path | None, Parameter(name=["--config", "-c"], help="A TOML file; by default the last settings.")]

Arm = Annotated[
    str,
    Parameter(
        name="ARM", help="RUN, or NAME=RUN,RUN,...: runs that differ by seed. Others are compared with the first."
    ),
]

Damages = Annotated[DamageConfig, Parameter(name="*", consume_multiple=True, negative_iterable=())]
USUAL_DAMAGE = DamageConfig()


def demo(path: RunPath = Path("runs/demo"), /, *, people: People = 3000, output: Output = SPOKEN) -> None:
    """Make a small network under RUN/data, run every stage on it, and show the report."""
    set_silent(output.quiet)
    _show_run(path, pipeline.demo(path, people=people), output)


@takes_settings()
def run(path: RunPath, /, *, data: Data = None, file: File = None, flags: Any = None, output: Output = SPOKEN) -> None:
    """Run every stage, skipping what is done and still stands; an interrupted run goes on."""
    set_silent(output.quiet)
    _show_run(path, pipeline.run(path, data, pipeline.configure(path, file, given(flags))), output)


@takes_settings(*pipeline.STAGES["ingest"].sections)
def ingest(
    path: RunPath, /, *, data: Data = None, file: File = None, flags: Any = None, output: Output = SPOKEN
) -> None:
    """Read tables into a graph."""
    set_silent(output.quiet)
    record = pipeline.run_stage(path, "ingest", data, pipeline.configure(path, file, given(flags)))
    output.show(stage_lines(path, "ingest", record), _document(path, "ingest", record))


def _stage_command(name: str) -> Callable[..., None]:
    @takes_settings("device", *pipeline.STAGES[name].sections)
    def command(path: RunPath, /, *, file: File = None, flags: Any = None, output: Output = SPOKEN) -> None:
        set_silent(output.quiet)
        record = pipeline.run_stage(path, name, config=pipeline.configure(path, file, given(flags)))
        if name == "evaluate":
            _show_report(path, output, lambda report: report)
        else:
            output.show(stage_lines(path, name, record), _document(path, name, record))

    return command


split, cluster, train, embed, index, blend, evaluate = map(
    _stage_command, ("split", "cluster", "train", "embed", "index", "blend", "evaluate")
)


def recommend(
    path: RunPath,
    /,
    *ids: RawIds,
    k: Length = 10,
    explain: Annotated[bool, Parameter(negative="", help="Show each candidate's cluster, and what that gets.")] = False,
    output: Output = SPOKEN,
) -> None:
    """Show the best candidates of each id with their scores; nobody's own friends are among them."""
    if not ids:
        raise ConfigError(f"Nobody asks. Name one raw id or several: `amity recommend {path} ID`.")
    recommender, retriever = pipeline.open_run(path, until="blend").adviser()
    lists = [top_k(recommender, retriever.embeddings.graph, raw_id, k) for raw_id in ids]
    if explain:
        lists = [explain_candidates(one, _divided(path, retriever), k=k, recommender=recommender) for one in lists]
    queries = [{"id": raw_id, "candidates": one.to_json()} for raw_id, one in zip(ids, lists, strict=True)]
    output.show("\n\n".join(map(str, lists)), {"run": str(path), "k": k, "queries": queries})


def compare(*arms: Arm, output: Output = SPOKEN) -> None:
    """Show by how much arms differ from the first, by seed and query, with intervals."""
    read = pipeline.read_arms(arms)
    comparison = compare_tables(read.tables, read.config)
    output.show(comparison_table(comparison), {**comparison, "runs": read.runs})


def robustness(
    *arms: Arm,
    damage: Damages = USUAL_DAMAGE,
    page: Annotated[Path | None, Parameter(help="Where to write the same as a page with charts: FILE.html.")] = None,
    output: Output = SPOKEN,
) -> None:
    """Show how much recall trained runs keep when their graphs lose edges or features, arm by arm."""
    set_silent(output.quiet)
    if page is not None:
        _check_page(page)
    read = pipeline.damage_arms(arms, damage)
    found = summarize_robustness(read.tables, read.config)
    output.show(robustness_table(found), {**found, "runs": read.runs})
    if page is not None:
        page.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(page, render_robustness(found).encode())
        if not output.json:
            output.show(f"page: {page}", None)


def sweep(
    file: Annotated[
        Path, Parameter(name="SPACE", help="A TOML file: data sets, a base, and a range for each setting.")
    ],
    /,
    *,
    into: Annotated[Path | None, Parameter(help="Where the sweep is kept; by default runs/NAME for NAME.toml.")] = None,
    output: Output = SPOKEN,
) -> None:
    """Tune settings by validation recall, and write the best as a config file; an interrupted sweep goes on."""
    set_silent(output.quiet)
    found = pipeline.sweep(file, into or Path("runs") / file.stem)
    trials = [asdict(trial) for trial in found.trials]
    document = {"config": str(found.config), "best": found.best.number, "trials": trials}
    output.show(trials_table(document), document)
    if not output.json:
        output.show(f"best settings: {found.config}", None)


def _check_page(page: Path) -> None:
    """Refuse a page that could not be written when all work is done."""
    obstacle = next((place for place in (page, *page.parents) if place.exists()), page)
    if obstacle.is_dir() == (obstacle == page):
        found = "a directory" if obstacle == page else "a file"
        raise ConfigError(f"The page cannot be written: {obstacle} is {found}. Name a new file: `--page FILE.html`.")


def _divided(path: Path, retriever: AnyRetriever) -> DividedRetriever:
    if isinstance(retriever, DividedRetriever):
        return retriever
    raise ConfigError(
        f"There is nothing to explain: the candidates of {path} are one cluster. Divide them by "
        "`[clustering]` and run it again, or leave `--explain` out."
    )


def _show_run(path: Path, done: dict[str, pipeline.Done], output: Output) -> None:
    stages = {name: {"made": one.made, **_document(path, name, one.record)} for name, one in done.items()}
    _show_report(path, output, lambda report: {"run": str(path), "stages": stages, "report": report})


def _show_report(path: Path, output: Output, document: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """The table of results and where the page lies, or the document that is made of the report."""
    report = pipeline.open_run(path, until="evaluate").report()
    output.show(results_table(report), document(report))
    if not output.json:
        output.show(f"report: {path / 'report.html'}", None)


def _document(path: Path, name: str, record: Record) -> dict[str, Any]:
    facts = {"seconds": record.seconds, "peak_rss_bytes": record.peak_rss_bytes, "summary": record.summary}
    return {"run": str(path), "stage": name, **facts}
