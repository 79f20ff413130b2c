"""The commands, and what becomes of mistakes: nothing heavy is imported before it is known what is asked for."""

import difflib
import errno
import json
import os
import sys
import textwrap
import traceback
from collections.abc import Sequence
from types import TracebackType

from cyclopts import App, CycloptsError, UnknownOptionError

from amity.errors import AmityError

COMMANDS = {
    "demo": "Make a small network and run every stage on it.",
    "run": "Run every stage, skipping what is done.",
    "ingest": "Read tables into a graph.",
    "split": "Hold out edges to judge by.",
    "cluster": "Divide the candidates into clusters.",
    "train": "Train the encoder; an interrupted training goes on.",
    "embed": "Give every node its vector.",
    "index": "Index the vectors of the candidates.",
    "blend": "Weigh vectors against heuristics, on the validation part.",
    "evaluate": "Judge the lists by the held-out edges, beside the baselines.",
    "recommend": "Show candidates with their scores, by raw id.",
    "compare": "Show paired differences between runs, with intervals.",
    "robustness": "Show how much recall is kept when edges or features are lost.",
    "sweep": "Tune settings by validation; an interrupted sweep goes on.",
    "doctor": "Say what is installed, what is missing, what to type.",
}
"""What each command does, in the order of the flow."""
MISTAKE, INTERRUPTED = 2, 130
ENVIRONMENT = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO),
    *(errno.ENOTDIR, errno.ENAMETOOLONG),
)
"""What the system may refuse through no fault of amity's."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 when it did its work, 2 for a mistake of the user's, 130 when interrupted.

    A fault of ours ends in a traceback and 1.
    """
    sys.excepthook = _own_up
    tokens = sys.argv[1:] if arguments is None else list(arguments)
    try:
        make_app()(tokens)
    except AmityError as error:
        sys.exit(_complain(type(error).__name__, str(error), tokens))
    except CycloptsError as error:
        sys.exit(_complain("ConfigError", _explain(error), tokens))
    except BrokenPipeError:  # Whoever reads what we write has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        if error.errno not in ENVIRONMENT:
            raise
        sys.exit(
            _complain("EnvironmentError", f"The system refused: {error}. Mend that and type the same again.", tokens)
        )
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted. What was finished is kept: type the same again to go on from there.\n")
        sys.exit(INTERRUPTED)


def make_app() -> App:
    """The command line; commands are imported when they are called."""
    app = App(
        name="amity",
        help="Embedding-based retrieval on graphs of people and things.",
        version=_version,
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        help_format="plaintext",  # markdown takes longer to import than all else together
        result_action="return_value",
    )
    for number, (name, purpose) in enumerate(COMMANDS.items()):
        module = "doctor" if name == "doctor" else "commands"
        app.command(f"amity.cli.{module}:{name}", name=name, help=purpose, sort_key=number)
    return app


def _version() -> str:
    from amity import __version__  # noqa: PLC0415 (asks the installed package, which takes a while)

    return __version__


def _explain(error: CycloptsError) -> str:
    """What is wrong with the flags."""
    if isinstance(error, UnknownOptionError):
        return f"{_suggest(error)} `amity COMMAND --help` lists the flags of a command."
    if error.__cause__ is None or "amity.config" not in sys.modules:
        return f"{error} `amity --help` lists the commands, and `amity COMMAND --help` the flags of one."
    from pydantic import ValidationError  # noqa: PLC0415 (loaded by now, and not needed for anything else)

    from amity.config import explain  # noqa: PLC0415 (as above)

    if not isinstance(error.__cause__, ValidationError):
        return str(error)
    argument = getattr(error, "argument", None)
    return explain(error.__cause__, name=argument.name if argument is not None else "")


def _suggest(error: UnknownOptionError) -> str:
    """The flag whose last word is the one that was typed (`--steps`: `--training.steps`), or else the nearest one."""
    typed = error.token.keyword or error.token.value
    names = [name for argument in error.argument_collection for name in argument.names if name.startswith("--")]
    same = [name for name in names if name.rpartition(".")[2].lstrip("-") == typed.rpartition(".")[2].lstrip("-")]
    near = same or difflib.get_close_matches(typed, names, n=1, cutoff=0.7)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"Unknown option: {typed}.{hint}"


def _complain(kind: str, message: str, tokens: list[str]) -> int:
    """Print one paragraph, and with `--json` the one document that was promised."""
    paragraph = " ".join(message.split())
    sys.stderr.write(textwrap.fill(paragraph, 100, break_long_words=False, break_on_hyphens=False) + "\n")
    if "--json" in tokens:
        sys.stdout.write(json.dumps({"error": {"type": kind, "message": paragraph}}) + "\n")
    return MISTAKE


def _own_up(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    traceback.print_exception(kind, error, trace)
    sys.stderr.write("This is a fault of amity's, not yours. Please report it with the lines above.\n")
