"""DGL in a virtual environment of its own, made where there is none yet, and its sampler as a process to talk to."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Self

import torch

ENVIRONMENT = Path(__file__).parents[2] / ".venv-dgl"
NEEDED = ("numpy", "scipy", "networkx", "requests", "tqdm", "psutil", "typing_extensions", "sympy", "filelock")
NEEDED += ("jinja2", "fsspec", "setuptools")


def make_environment() -> Path:
    """The interpreter of the environment. DGL asks for the torch of its time, so that its wishes are not resolved."""
    python = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / "installed"
    if not ready.exists():
        install = (str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        steps = [
            (sys.executable, "-m", "venv", str(ENVIRONMENT)),
            (*install, "--no-deps", "dgl==2.1.0", f"torch=={torch.__version__}"),
            (*install, *NEEDED),
        ]
        for step in steps:
            subprocess.run(step, check=True, stdout=sys.stderr)
        ready.touch()
    return python


class DglSampler:
    """Running `dgl_sampling.py`: open processes that share the batches, each with some threads for a batch."""

    def __init__(self, folder: Path, fanout: tuple[int, ...], *, processes: int = 1, threads: int = 1) -> None:
        program = Path(__file__).with_name("dgl_sampling.py")
        command = [str(make_environment()), str(program), str(folder), *map(str, fanout)]
        settings = {"OMP_NUM_THREADS": str(threads), "DGLBACKEND": "pytorch"}
        env = {**os.environ, **settings, "PYTHONPATH": ""}
        pipe = subprocess.PIPE
        self._processes = [
            subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True) for _ in range(processes)
        ]
        for process in self._processes:
            _answer(process)

    def sample(self, batches: range, *, excluding: bool) -> int:
        """Sample the batches and return how many edges were drawn."""
        for first, process in enumerate(self._processes):
            part = batches[first :: len(self._processes)]
            print("excluding" if excluding else "plain", *part, file=process.stdin, flush=True)
        return sum(int(_answer(process)) for process in self._processes)

    def close(self) -> None:
        """End the processes by ending their input."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _answer(process: subprocess.Popen) -> str:
    assert process.stdout is not None
    while line := process.stdout.readline():
        if line.split()[0].isdigit() or line.strip() == "ready":
            return line.strip()
    raise RuntimeError(f"the process that samples with DGL ended with code {process.wait()}; see its errors")
