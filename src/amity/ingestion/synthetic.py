"""A social network made on the spot: power-law degrees, circles within communities, friends of friends."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float, Int32, Int64, Integer
from numpy import ndarray

from amity.errors import ConfigError
from amity.kernels import kernel, mix

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
CIRCLE_SIZE = 20
REMEMBERED = 8
"""Friends of each person that the closing of triangles can walk along."""
CHUNK = 1 << 18
START_S, STEP_S = 1_420_070_400, 60
"""The first friendship is of 2015, in seconds since 1970; the next ones follow about a minute apart."""


@dataclass(frozen=True, slots=True)
class _Society:
    """Who belongs where; people of a circle stand together, and circles of a community."""

    community: Int32[ndarray, "people"]
    reach: Float[ndarray, "people_and_one"]
    """Cumulative popularity: how often each person is met is the step at their place."""
    ids: Int64[ndarray, "people"]
    """Raw ids: distinct, sparse, in no order."""


def synthesize(directory: Path, *, people: int, friendships: int, seed: int) -> None:
    """Write `nodes.parquet` and `edges.parquet` of a made-up social network, the same for the same seed.

    Nodes: id (sparse integers in no order), city (text), age (years), interests (a list of texts), taste (a dense
    vector); each but the id is missing for some. Edges: src, dst, time (seconds since 1970), distinct, in time
    order. Friends meet in their circle, in their community, through friends, and rarely anywhere; features
    follow community and circle with noise. Memory: about 120 bytes a person and 2 bytes a friendship.
    Raises `ConfigError` where there are too few people for so many friendships.
    """
    most = people * (people - 1) // 8
    if people < 2 * CIRCLE_SIZE or not 0 < friendships <= most:
        raise ConfigError(
            f"A network of {people:,} people and {friendships:,} friendships cannot be made: it takes at least "
            f"{2 * CIRCLE_SIZE} people, and at most a quarter of all pairs may be friends ({most:,} here). "
            "Ask for more people or fewer friendships."
        )
    directory.mkdir(parents=True, exist_ok=True)
    society = _found_society(people, seed)
    _write(directory / "nodes.parquet", _people(society, seed))
    _write(directory / "edges.parquet", _friendships(society, friendships, seed))


def _write(path: Path, tables: Iterator[pa.Table]) -> None:
    first = next(tables)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _found_society(people: int, seed: int) -> _Society:
    rng = np.random.default_rng([seed, 0])
    num_communities = max(4, int(people**0.5 / 2))
    shares = np.sort(rng.pareto(1.5, num_communities) + 0.5)[::-1]
    borders = np.round(np.cumsum(shares) / shares.sum() * people).astype(np.int64)
    community = np.searchsorted(borders, np.arange(people), side="right").astype(np.int32)
    popularity = np.minimum(rng.pareto(2.0, people) + 0.4, people**0.5)
    ids = 1000 + 7 * rng.permutation(people) + rng.integers(0, 7, people)
    return _Society(community, np.concatenate([[0.0], np.cumsum(popularity)]), ids)


def _people(society: _Society, seed: int) -> Iterator[pa.Table]:
    """The node table, people in no order."""
    people = len(society.ids)
    rng = np.random.default_rng([seed, 1])
    order = rng.permutation(people)
    num_communities, num_circles = int(society.community[-1]) + 1, people // CIRCLE_SIZE + 1
    homes = rng.integers(0, len(CITIES.split()), num_communities)
    ages = rng.uniform(18, 60, num_communities)
    favourites = rng.integers(0, len(INTERESTS.split()), (num_communities, 6))
    tastes = rng.normal(size=(num_communities, TASTE_WIDTH)).astype(np.float32)
    nuances = rng.normal(size=(num_circles, TASTE_WIDTH)).astype(np.float32)
    for start in range(0, people, CHUNK):
        who = order[start : start + CHUNK]
        community, circle = society.community[who], who // CIRCLE_SIZE
        cities = np.where(rng.random(len(who)) < 0.8, homes[community], rng.integers(0, len(CITIES.split()), len(who)))
        taste = tastes[community] + 0.7 * nuances[circle] + 0.7 * rng.normal(size=(len(who), TASTE_WIDTH))
        years = np.clip(ages[community] + rng.normal(0, 6, len(who)), 13, 99).round()
        missing = rng.random((4, len(who))) < 0.05
        columns = {
            "id": pa.array(society.ids[who]),
            "city": pa.array(np.array(CITIES.split(), object)[cities], pa.string(), mask=missing[0]),
            "age": pa.array(years, pa.float64(), mask=missing[1]),
            "interests": _interests(favourites[community], missing[2], rng),
            "taste": pa.FixedSizeListArray.from_arrays(
                taste.astype(np.float32).ravel(), TASTE_WIDTH, mask=pa.array(missing[3])
            ),
        }
        yield pa.table(columns)


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


def _friendships(society: _Society, friendships: int, seed: int) -> Iterator[pa.Table]:
    """The edge table in time order, a chunk at a time."""
    people = len(society.ids)
    borders = np.searchsorted(society.community, np.arange(int(society.community[-1]) + 2)).astype(np.int64)
    memory = np.full((people, REMEMBERED), -1, np.int32)
    # 16 bits a friendship and two probes: one pair in about 70 is taken for a repetition and another drawn instead.
    seen = np.zeros(1 << max(6, (friendships * 2).bit_length()), np.uint8)
    state = int(mix(seed))
    for start in range(0, friendships, CHUNK):
        pairs = np.empty((min(CHUNK, friendships - start), 2), np.int64)
        state = int(_befriend(pairs, (society.reach, society.community, borders), memory, seen, state))
        times = START_S + STEP_S * np.arange(start, start + len(pairs))
        yield pa.table(
            {
                "src": pa.array(society.ids[pairs[:, 0]]),
                "dst": pa.array(society.ids[pairs[:, 1]]),
                "time": pa.array(times.astype(np.int64)),
            }
        )


@kernel
def _befriend(pairs, society, memory, seen, state):
    """Fill `pairs` with new friendships; `memory` and `seen` are kept up, the state of the draws is returned."""
    reach = society[0]
    made = 0
    while made < len(pairs):
        state = mix(state)
        person = _meet(reach, 0, len(reach) - 1, state)
        other = _find_friend(person, society, memory, mix(state + 1))
        if other < 0 or other == person or _seen_before(seen, person, other):
            continue
        _remember(memory, person, other, mix(state + 2))
        _remember(memory, other, person, mix(state + 3))
        pairs[made, 0], pairs[made, 1] = person, other
        made += 1
    return state


@kernel
def _find_friend(person, society, memory, bits):
    """In the circle (35 of 100), through a friend (30), in the community (27), or anywhere; -1 where there is none."""
    reach, community, borders = society
    people = len(reach) - 1
    way, bits = _uniform(bits), mix(bits)
    if way < 0.35:
        first = person - person % CIRCLE_SIZE
        return _meet(reach, first, min(first + CIRCLE_SIZE, people), bits)
    if way < 0.65:
        friend = memory[person, int(_uniform(bits) * REMEMBERED)]
        return memory[friend, int(_uniform(mix(bits)) * REMEMBERED)] if friend >= 0 else friend
    if way < 0.92:
        own = community[person]
        return _meet(reach, borders[own], borders[own + 1], bits)
    return _meet(reach, 0, people, bits)


@kernel
def _meet(reach, first, stop, bits):
    """A person of `first` to `stop` - 1, by popularity."""
    point = reach[first] + _uniform(bits) * (reach[stop] - reach[first])
    return min(stop - 1, first - 1 + np.searchsorted(reach[first : stop + 1], point, side="right"))


@kernel
def _uniform(bits):
    """A number of 0 to 1, 1 excluded, from 64 random bits."""
    return (np.uint64(bits) >> np.uint64(11)) * 2.0**-53


@kernel
def _remember(memory, person, friend, bits):
    """Keep a friend in a free place, else in place of a random one."""
    place = int(_uniform(bits) * REMEMBERED)
    for i in range(REMEMBERED):
        if memory[person, i] < 0:
            place = i
            break
    memory[person, place] = friend


@kernel
def _seen_before(seen, person, other):
    """Mark a pair in a Bloom filter (Bloom, 1970) of two probes; True where it may have been marked before."""
    bits = np.uint64(mix(mix(np.int64(min(person, other))) ^ np.int64(max(person, other))))
    mask = np.uint64(8 * len(seen) - 1)
    known = True
    for place in (bits & mask, (bits >> np.uint64(32)) * np.uint64(0x9E3779B97F4A7C15) & mask):
        bit = np.uint8(1 << (place & np.uint64(7)))
        known &= (seen[place >> np.uint64(3)] & bit) != 0
        seen[place >> np.uint64(3)] |= bit
    return known
