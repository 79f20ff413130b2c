"""A process that runs `amity` again and again and kills it; amity is imported once, and each run is a fork.

Reads from stdin, one JSON document a line: {"arguments": [...], "after_s": 0.3} kills a run after that time (if it is
still running), {"arguments": [...], "at": ["train", "_commit"]} kills it when it gets there. Answers with one line,
the exit status, negative for a signal.

Forking is safe here because this process itself never starts a thread.
"""

import json
import os
import signal
import sys
import time
from typing import Any

import amity.cli.commands  # noqa: F401 (what is imported here need not be imported by each run)
from amity.artifacts import Run
from amity.cli import main

POLL_S = 0.001


def kill_at(stage: str, method: str) -> None:
    """Kill this process when a method of `Run` is called for a stage."""
    original = getattr(Run, method)

    def patched(run: Run, name: str, *arguments: Any, **keywords: Any) -> Any:
        if name == stage:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(run, name, *arguments, **keywords)

    setattr(Run, method, patched)


def run_and_kill(order: dict[str, Any]) -> int:
    """Run one command in a fork; its exit status."""
    child = os.fork()
    if child == 0:
        if "at" in order:
            kill_at(*order["at"])
        try:
            main(order["arguments"])
        except SystemExit as end:
            os._exit(end.code if isinstance(end.code, int) else 1)
        except BaseException as error:  # noqa: BLE001 (a fork must end here, whatever happens)
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
        os._exit(0)
    deadline = time.monotonic() + order.get("after_s", 3600)
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(POLL_S)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    for line in sys.stdin:
        answers.write(f"{run_and_kill(json.loads(line))}\n")
        answers.flush()
