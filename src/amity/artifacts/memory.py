"""How much memory a piece of work took at most."""

import resource
from contextlib import suppress
from pathlib import Path


def reset_peak_memory() -> None:
    """Begin anew to count the peak; only Linux can, elsewhere the peak is that of the whole process."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_bytes() -> int:
    """The most resident memory since the last reset, pages of mapped files included."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
