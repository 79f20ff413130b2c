"""Edges into train, validation and test: at random, by time, or as given; the future cannot leak."""

from amity.splitting.assignment import Cutoffs, SplittingConfig
from amity.splitting.division import split_edges
from amity.splitting.guards import check_no_leak
from amity.splitting.split import HeldOut, Pairs, Split, open_split

__all__ = ["Cutoffs", "HeldOut", "Pairs", "Split", "SplittingConfig", "check_no_leak", "open_split", "split_edges"]
