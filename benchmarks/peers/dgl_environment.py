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
    """A running `dgl_sampling.py`: an open process."""

    def __init__(self, folder: Path, fanout: tuple[int, ...]) -> None:
        program = Path(__file__).with_name("dgl_sampling.py")
        threads = {"OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive", "DGLBACKEND": "pytorch"}
        self._process = subprocess.Popen(
            [str(make_environment()), str(program), str(folder), *map(str, fanout)],
            env={**os.environ, **threads, "PYTHONPATH": ""},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def sample(self, batches: range, *, excluding: bool) -> int:
        """Sample the batches and return how many edges were drawn."""
        assert self._process.stdin is not None
        print("excluding" if excluding else "plain", *batches, file=self._process.stdin, flush=True)
        return int(self._answer())

    def close(self) -> None:
        """End the process by ending its input."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.split()[0].isdigit() or line.strip() == "ready":
                return line.strip()
        raise RuntimeError(f"the process that samples with DGL ended with code {self._process.wait()}; see its errors")
