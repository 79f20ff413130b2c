"""The features of a made-up network's people: they follow community and circle, with noise."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from jaxtyping import Float, Float16, Float32, Int64, Integer
from numpy import ndarray

CITIES = (
    "Accra Auckland Bergen Bogota Cork Dakar Graz Hanoi Izmir Kyoto Leeds Lima Lyon Malmo Nairobi Porto Quebec Riga "
    "Seoul Tampere Turin Utrecht Vilnius Zagreb"
)
INTERESTS = (
    "astronomy badminton baking birds board-games books bread camping cars ceramics chess cinema climbing coding "
    "comics cooking cricket cycling dance darts diving drawing fashion fencing fishing football gardening golf guitar "
    "hiking history hockey jazz judo karate knitting languages magic maps music opera painting photography piano "
    "poetry politics pottery puzzles radio rowing rugby running sailing sewing skating skiing surfing swimming tea "
    "tennis theatre travel volleyball wine yoga"
)
TASTE_WIDTH = 16


@dataclass(frozen=True, slots=True)
class Profiles:
    """What each community and each circle is like."""

    seed: int
    vector: int
    """Width of the one vector that stands for all columns; 0: all columns."""
    homes: Int64[ndarray, "communities"]
    ages: Float[ndarray, "communities"]
    favourites: Int64[ndarray, "communities six"]
    tastes: Float32[ndarray, "communities width"]
    nuances: Float16[ndarray, "circles width"]

    @classmethod
    def draw(cls, communities: int, circles: int, vector: int, *, seed: int) -> "Profiles":
        """Make up what communities and circles are like."""
        rng, width = np.random.default_rng([seed, 3]), vector or TASTE_WIDTH
        return cls(
            seed,
            vector,
            homes=rng.integers(0, len(CITIES.split()), communities),
            ages=rng.uniform(18, 60, communities),
            favourites=rng.integers(0, len(INTERESTS.split()), (communities, 6)),
            tastes=rng.standard_normal((communities, width), np.float32),
            nuances=np.concatenate(
                [_normal(rng, min(1 << 20, circles - first), width) for first in range(0, circles, 1 << 20)]
            ),
        )

    def columns(
        self, community: Integer[ndarray, "people"], circle: Integer[ndarray, "people"], start: int
    ) -> dict[str, pa.Array]:
        """The feature columns of some people; `start` keys what chance adds."""
        rng, people = np.random.default_rng([self.seed, 4, start]), len(community)
        taste = rng.standard_normal((people, self.tastes.shape[1]), np.float32)
        taste += self.nuances[circle]
        taste *= np.float32(0.7)
        taste += self.tastes[community]
        if self.vector:
            return {"vector": pa.FixedSizeListArray.from_arrays(taste.astype(np.float16).ravel(), self.vector)}
        cities = np.where(rng.random(people) < 0.8, self.homes[community], rng.integers(0, len(CITIES.split()), people))
        years = np.clip(self.ages[community] + rng.normal(0, 6, people), 13, 99).round()
        missing = rng.random((4, people)) < 0.05
        return {
            "city": pa.array(np.array(CITIES.split(), object)[cities], pa.string(), mask=missing[0]),
            "age": pa.array(years, pa.float64(), mask=missing[1]),
            "interests": _interests(self.favourites[community], missing[2], rng),
            "taste": pa.FixedSizeListArray.from_arrays(taste.ravel(), TASTE_WIDTH, mask=pa.array(missing[3])),
        }


def _normal(rng: np.random.Generator, rows: int, width: int) -> Float16[ndarray, "rows width"]:
    return rng.standard_normal((rows, width), np.float32).astype(np.float16)


def _interests(favourites: Integer[ndarray, "people six"], missing: ndarray, rng: np.random.Generator) -> pa.ListArray:
    """One to eight interests a person, two in three from the community's favourites."""
    sizes = np.where(missing, 0, rng.integers(1, 9, len(favourites)))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    owners = np.repeat(np.arange(len(favourites)), sizes)
    anything = (len(INTERESTS.split()) * rng.random(len(owners)) ** 2).astype(np.int64)
    favourite = favourites[owners, rng.integers(0, favourites.shape[1], len(owners))]
    chosen = np.where(rng.random(len(owners)) < 2 / 3, favourite, anything)
    words = pa.array(INTERESTS.split()).take(pa.array(chosen))
    return pa.ListArray.from_arrays(pa.array(offsets), words, mask=pa.array(missing))
