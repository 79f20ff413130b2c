"""One command per stage, and what to do with their results."""

from amity.cli.app import main

__all__ = ["main"]
