"""How long amity takes to begin: its help, its import, and what the first demo spends on compiling kernels.

    python benchmarks/bench_startup.py [--json] [--repeats 5]

Each begins in a process of its own. The first demo finds no compiled kernel, the second one finds those of the first:
it must compile nothing. Compiling is timed by numba's own events, without the kernels that a kernel calls in turn.
There is no peer: the limits are 0.3 s for `amity --help`, 0.5 s for `import amity` and 15 s for compiling.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path
from statistics import median

from measure import Row, options, show

PEOPLE = 300


def main() -> None:
    """Measure and print."""
    parser = options(__doc__)
    parser.add_argument("--demo", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.demo:
        print(json.dumps(watch_demo(chosen.demo)))
        return
    help_s = [clock("-m", "amity", "--help") for _ in range(chosen.repeats)]
    import_s = [clock("-c", "import amity") for _ in range(chosen.repeats)]
    bare_s = [clock("-c", "pass") for _ in range(chosen.repeats)]
    with tempfile.TemporaryDirectory() as scratch:
        first, second = (run_demo(Path(scratch), name) for name in ("first", "second"))
    rows = [
        ("amity --help", median(help_s), "s"),
        ("import amity, beyond what Python takes", median(import_s) - median(bare_s), "s"),
        ("compiling kernels in the first demo", first["seconds"], "s"),
        ("kernels compiled in the first demo", first["kernels"], "kernels"),
        ("kernels compiled in the second demo", second["kernels"], "kernels"),
    ]
    show([Row(f"none: {name}", float(value), 0.0, 0.0, unit) for name, value, unit in rows], as_json=chosen.json)


def clock(*arguments: str) -> float:
    """Seconds of a Python process."""
    begin = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def run_demo(scratch: Path, name: str) -> dict[str, float]:
    """What a demo in a process of its own compiled; both share one cache, which the first finds empty."""
    command = [sys.executable, __file__, "--demo", str(scratch / name)]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(scratch / "cache")}
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment, text=True)
    return json.loads(ended.stdout)


def watch_demo(directory: Path) -> dict[str, float]:
    """Run a small demo, and count how many kernels are compiled and for how long."""
    from numba.core import event  # noqa: PLC0415 (numba must find the cache that the environment names)

    class Watch(event.Listener):
        """Times the outermost of nested events."""

        depth, kernels, seconds, begin = 0, 0, 0.0, 0.0

        def on_start(self, event: event.Event) -> None:  # noqa: ARG002 (a listener's signature)
            self.begin = time.perf_counter() if self.depth == 0 else self.begin
            self.depth += 1

        def on_end(self, event: event.Event) -> None:
            self.depth -= 1
            self.seconds += time.perf_counter() - self.begin if self.depth == 0 else 0.0
            self.kernels += event.data["dispatcher"].py_func.__module__.startswith("amity")

    from amity.pipeline import demo  # noqa: PLC0415

    watch = Watch()
    with event.install_listener("numba:compile", watch), redirect_stdout(sys.stderr):
        demo(directory, people=PEOPLE)
    return {"kernels": watch.kernels, "seconds": watch.seconds}


if __name__ == "__main__":
    main()
