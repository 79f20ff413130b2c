"""`amity doctor`: what is installed, what is missing, what to type."""

import importlib.metadata
import importlib.util
import os
import platform
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from amity.cli.output import SPOKEN, Output

NEEDED_MEMORY_BYTES, NEEDED_DISK_BYTES = 4 << 30, 2 << 30
"""Below these a small network may still do, and a warning is due."""


def doctor(*, output: Output = SPOKEN) -> None:
    """Say what is installed, what is missing, and what to type about it."""
    packages, advice = _packages()
    machine = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "threads": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": _memory_bytes(),
        "disk_free_bytes": shutil.disk_usage(Path.cwd()).free,
    }
    device, hint = _device() if importlib.util.find_spec("torch") else ("cpu", "")
    advice += [hint] if hint else []
    if 0 < machine["memory_bytes"] < NEEDED_MEMORY_BYTES:
        advice.append("Little memory: lower `ingestion.memory_gib` and `sampling.batch_size`.")
    if machine["disk_free_bytes"] < NEEDED_DISK_BYTES:
        advice.append("Little disk space: a run takes about the size of its tables twice over. Make room.")
    document = {"packages": packages, "machine": machine, "device": device, "advice": advice}
    output.show(_text(document), document)


def _packages() -> tuple[dict[str, str], list[str]]:
    """The version of amity and of each package it needs, and what to type where one is missing."""
    required = [
        re.split(r"[<>=!~ ;\[]", line)[0] for line in importlib.metadata.requires("amity") or [] if "extra" not in line
    ]
    versions = {name: _version(name) for name in ("amity", *required)}
    missing = [name for name, version in versions.items() if not version]
    return versions, [f"Missing: {', '.join(missing)}. Type: make install"] if missing else []


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _device() -> tuple[str, str]:
    """The best device there is, and what to type where a GPU lies idle."""
    import torch  # noqa: PLC0415 (may be missing, which is what this command is for)

    if torch.cuda.is_available():
        return f"cuda ({torch.cuda.get_device_name()})", ""
    if Path("/proc/driver/nvidia").exists():
        return "cpu", "There is a GPU, and this torch cannot use it. Type: make clean install CUDA=1"
    return "cpu", ""


def _memory_bytes() -> int:
    """Memory that new work can have; all there is where the system does not say, 0 where not even that."""
    with suppress(OSError):  # Linux alone counts what it would free of the pages of files that it keeps.
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") if "SC_PHYS_PAGES" in os.sysconf_names else 0


def _text(document: dict[str, Any]) -> str:
    machine = document["machine"]
    lines = [f"{name:>14}  {version or 'MISSING'}" for name, version in document["packages"].items()]
    lines += [f"{name:>14}  {machine[name]}" for name in ("python", "platform")]
    lines += [
        f"{'cpus':>14}  {machine['cpus']} ({machine['threads']} usable)",
        f"{'memory':>14}  {machine['memory_bytes'] / 2**30:.1f} GiB free",
        f"{'disk':>14}  {machine['disk_free_bytes'] / 2**30:.1f} GiB free here",
        f"{'device':>14}  {document['device']}",
    ]
    return "\n".join([*lines, "", *(document["advice"] or ["Nothing is missing. Type: amity demo"])])
