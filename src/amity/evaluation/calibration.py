"""Calibration of intent: how far likelihoods can be believed, and the one temperature that mends them."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float, Int64
from numpy import ndarray

BINS = 15
"""Ranges of confidence, of equal width."""
COLDEST, HOTTEST = 1 / 64, 64.0
"""Between which temperatures the best one is looked for."""
STEPS = 16
"""How often the interval is cut in the search for a peak: to less than a hundredth of a logarithm."""
GOLDEN = (math.sqrt(5) - 1) / 2

Logits = Float[ndarray, "pairs clusters"]
"""Of each pair of a query and a held-out candidate, log p(cluster | query), up to what is the same for all clusters."""
Labels = Int64[ndarray, "pairs"]
"""The cluster of each pair's candidate."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a temperature did to intent on the part that it was fitted on."""

    temperature: float
    """What logits are divided by."""
    error_before: float
    """Expected calibration error without it."""
    error_after: float
    """The same with it."""
    loss_before: float
    """Cross-entropy without it, in nats."""
    loss_after: float
    """The same with it."""

    def to_json(self) -> dict[str, float]:
        """As the report tells it."""
        return {name: round(value, 6) for name, value in asdict(self).items()}


def calibrate(logits: Logits, labels: Labels) -> Calibration:
    """Find the temperature T under which the labels are likeliest: the largest mean of log softmax(logits / T).

    Temperature scaling (Guo et al., 2017, arXiv 1706.04599): the likeliest cluster stays the likeliest. The mean is
    concave in 1 / T; where none is better, T is 1.
    """
    before = cross_entropy(logits, labels)
    temperature = maximize(lambda one: -cross_entropy(logits / one, labels), COLDEST, HOTTEST)
    after = cross_entropy(logits / temperature, labels)
    if after >= before:
        temperature, after = 1.0, before
    error, mended = (calibration_error(softmax(logits / one), labels) for one in (1.0, temperature))
    return Calibration(temperature, error, mended, before, after)


def calibration_error(probabilities: Float[ndarray, "pairs clusters"], labels: Labels) -> float:
    """Expected calibration error: Σ_b |b| / n · |accuracy(b) - confidence(b)| over `BINS` ranges b of confidence.

    Confidence is the largest probability, and accuracy how often its cluster is the label (Naeini et al., 2015; arXiv
    1706.04599, eq. 3).
    """
    confidence, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence.astype(np.float64), minlength=BINS)
    return float(np.abs(gaps).sum() / len(labels))


def cross_entropy(logits: Logits, labels: Labels) -> float:
    """The mean of -log softmax(logits) at the labels."""
    total = np.logaddexp.reduce(logits.astype(np.float64), axis=1)
    return float((total - logits[np.arange(len(labels)), labels]).mean())


def softmax(logits: Logits) -> Logits:
    """Probabilities, rows of sum 1."""
    return np.exp(logits - np.logaddexp.reduce(logits.astype(np.float64), axis=1, keepdims=True))


def maximize(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a function of one peak between two positive numbers is largest; by golden sections of the logarithm."""
    left, right = math.log(low), math.log(high)
    inner = [right - GOLDEN * (right - left), left + GOLDEN * (right - left)]
    values = [function(math.exp(place)) for place in inner]
    for _ in range(STEPS):
        if values[0] > values[1]:
            right, inner[1], values[1] = inner[1], inner[0], values[0]
            inner[0] = right - GOLDEN * (right - left)
            values[0] = function(math.exp(inner[0]))
        else:
            left, inner[0], values[0] = inner[0], inner[1], values[1]
            inner[1] = left + GOLDEN * (right - left)
            values[1] = function(math.exp(inner[1]))
    return math.exp((left + right) / 2)
