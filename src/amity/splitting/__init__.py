"""Edges into train, validation and test: at random, by time, or as given; the future cannot leak."""

from amity.splitting.assignment import SplittingConfig
from amity.splitting.guards import check_no_leak
from amity.splitting.split import Cutoffs, HeldOut, Pairs, Split, open_split, split_edges

__all__ = ["Cutoffs", "HeldOut", "Pairs", "Split", "SplittingConfig", "check_no_leak", "open_split", "split_edges"]
