"""The run directory: files that are whole, belong together, and say what they were made from."""

from amity.artifacts.files import File, digest, filling, fingerprint, remove, write_atomically
from amity.artifacts.memory import peak_memory_bytes
from amity.artifacts.run import Record, Run, Staging

__all__ = [
    "File",
    "Record",
    "Run",
    "Staging",
    "digest",
    "filling",
    "fingerprint",
    "peak_memory_bytes",
    "remove",
    "write_atomically",
]
