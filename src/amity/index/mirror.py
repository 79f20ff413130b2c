"""Exact search with the help of a GPU: it proposes within a bound on its error, and the true products rank.

A sum of d products in floating point of unit roundoff u lies within d u |q||x| of the true one (Higham, 2002,
"Accuracy and Stability of Numerical Algorithms", section 3.1). So whoever the GPU leaves out scores at most its last
score plus that bound; a list whose last true score is above that misses nobody. Other lists, such as those whose last
places are tied, are not proven.
"""

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, UInt64
from numpy import ndarray
from torch import Tensor

from amity.index.ranking import Questions, rank, to_hits

SCORE_BLOCK = 1 << 28
"""How many scores are computed before the best of them are picked: 1 GiB."""
CHUNK = 1 << 20
"""How many vectors are brought to the GPU at once."""
SPARE = 64
"""How many more candidates are proposed than a list holds, so that the last of the list stands clear of them."""
ROUNDOFF = {"highest": 2.0**-24, "high": 2.0**-10, "medium": 2.0**-7}
"""Of a product of matrices, by what torch is allowed to compute it in: single precision, TF32, bfloat16."""


def mirror_on(vectors: Float[ndarray, "candidates dim"], device: torch.device | str) -> Float[Tensor, "candidates dim"]:
    """A copy of the vectors, in their precision, on a device that has room for them."""
    first = torch.from_numpy(vectors[:1].copy())
    mirror = torch.empty(vectors.shape, dtype=first.dtype, device=device)
    for start in range(0, len(vectors), CHUNK):
        mirror[start : start + CHUNK] = torch.from_numpy(vectors[start : start + CHUNK].copy())
    return mirror


def mirror_for(
    vectors: Float[ndarray, "candidates dim"], device: torch.device | str
) -> Float[Tensor, "candidates dim"] | None:
    """A copy of the vectors on a GPU; None for the CPU, which needs no help of its own."""
    return None if torch.device(device).type == "cpu" else mirror_on(vectors, device)


def best_by_mirror(
    questions: Questions,
    vectors: Float[ndarray, "candidates dim"],
    mirror: Float[Tensor, "candidates dim"],
    *,
    longest: float,
    k: int,
) -> tuple[UInt64[ndarray, "queries k"], Bool[ndarray, "queries"]]:
    """The keys of the k best candidates of each query, and for which queries they are proven to be these."""
    found, floors = _propose(questions, mirror, min(k + SPARE, len(vectors)))
    keys = rank(questions, vectors, found, k=k)
    eligible = np.minimum(k, len(vectors) - np.diff(questions.starts))
    complete = np.count_nonzero(keys, axis=1) == eligible
    least = to_hits(keys, questions.salts, k=k).scores[:, -1]
    clear = least > floors + _error_bounds(questions.vectors, longest)
    return keys, complete & (clear | (floors == -np.inf))


def _error_bounds(queries: ndarray, longest: float) -> Float64[ndarray, "queries"]:
    """How far a score of the device may lie from the true one, the latter's rounding to single precision included."""
    norms = np.linalg.norm(queries.astype(np.float64), axis=1)
    dim = queries.shape[1]
    return norms * longest * (dim + 4) * ROUNDOFF[torch.get_float32_matmul_precision()] + dim * 1e-37


def _propose(
    questions: Questions, mirror: Tensor, count: int
) -> tuple[Int64[ndarray, "queries count"], Float64[ndarray, "queries"]]:
    """The candidates that score highest on the device, and what all others score at most; -inf where none are left."""
    device = mirror.device
    asked = torch.from_numpy(questions.vectors).to(device)
    askers = torch.from_numpy(np.repeat(np.arange(len(asked)), np.diff(questions.starts))).to(device)
    barred = torch.from_numpy(questions.excluded[questions.starts[0] : questions.starts[-1]]).to(device)
    scores = torch.empty((len(asked), 0), device=device)
    places = torch.empty((len(asked), 0), dtype=torch.int64, device=device)
    width = max(1, SCORE_BLOCK // len(asked))
    for first in range(0, len(mirror), width):
        block = asked @ mirror[first : first + width].float().T
        inside = (barred >= first) & (barred < first + width)
        block[askers[inside], barred[inside] - first] = -torch.inf
        best = block.topk(min(count, block.shape[1]))
        scores, places = torch.cat([scores, best.values], 1), torch.cat([places, best.indices + first], 1)
        scores, chosen = scores.topk(min(count, scores.shape[1]))
        places = places.gather(1, chosen)
    floors = scores[:, -1].double().cpu().numpy() if count < len(mirror) else np.full(len(asked), -np.inf)
    return places.cpu().numpy(), floors
