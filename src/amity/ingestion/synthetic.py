"""A social network made on the spot: power-law degrees, circles within communities, friends of friends."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float64, Int32, Int64
from numpy import ndarray

from amity.errors import ConfigError
from amity.ingestion.profiles import Profiles
from amity.kernels import kernel, mix

CIRCLE_SIZE = 20
TOWN_SIZE = 6500 * CIRCLE_SIZE
"""People of one town: what making its friendships looks up fits the cache of a core."""
REMEMBERED = 8
"""Friends of each person that the closing of triangles can walk along."""
CHUNK = 1 << 18
"""People of one row group."""
START_S, STEP_S = 1_420_070_400, 60
"""The first friendship is of 2015, in seconds since 1970; the next ones follow about a minute apart."""
NEAR = 0.92
"""Share of the friendships that are made in a circle, through a friend, or in a community; the others anywhere."""


class _Society(NamedTuple):
    """Who belongs where; people of a circle stand together, as do circles of a community and communities of a town."""

    reach: Float64[ndarray, "people_and_one"]
    """Cumulative popularity: how often each person is met is the step at their place."""
    guide: Int32[ndarray, "cells_and_one"]
    """Where to begin to look for a point of `reach`: the person at the beginning of each of as many equal cells."""
    community: Int32[ndarray, "people"]
    borders: Int64[ndarray, "communities_and_one"]
    """The first person of each community."""
    towns: Int64[ndarray, "towns_and_one"]
    """The first person of each town."""


def synthesize(directory: Path, *, people: int, friendships: int, seed: int, vector: int = 0) -> None:
    """Write `nodes.parquet` and `edges.parquet` of a made-up social network, the same for the same seed.

    Nodes: id (sparse integers in no order), city (text), age (years), interests (a list of texts), taste (a dense
    vector); each but the id is missing for some. Edges: src, dst, time (seconds since 1970), distinct. Friends meet
    in their circle, in their community, through friends, and rarely anywhere; features follow community and circle
    with noise. People live in towns of 130,000 or more, whose friendships are made apart and written one town after
    the other, each in time order; those between towns come last. With a `vector`, a leaner network for large sizes:
    besides the id each person has a `vector` of that width in half precision, and friendships have no time.
    Memory: about 40 bytes a person (of a `vector`: and a fifth of its width) and, between towns, a friendship.
    Raises `ConfigError` where there are too few people for so many friendships.
    """
    most = people * (min(people, TOWN_SIZE) - 1) // 8
    if people < 2 * CIRCLE_SIZE or not 0 < friendships <= most:
        least = max(2 * CIRCLE_SIZE, -(-8 * friendships // max(people, 1)) + 1)
        raise ConfigError(
            f"A network of {people:,} people and {friendships:,} friendships cannot be made: there must be one, and at "
            f"most a quarter of all pairs of a town may be friends ({most:,} here). "
            f"Ask for {least:,} people or more, who may have as many friends each."
        )
    directory.mkdir(parents=True, exist_ok=True)
    society = _found_society(people, seed)
    rng = np.random.default_rng([seed, 0])
    # Raw ids: distinct, sparse, in no order.
    ids = 1000 + 7 * rng.permutation(people) + rng.integers(0, 7, people)
    _write(directory / "nodes.parquet", _people(society, ids, vector, seed))
    _write(directory / "edges.parquet", _friendships(society, ids, friendships, seed, timed=not vector))


def _write(path: Path, jobs: Iterable[Callable[[], pa.Table]]) -> None:
    """Write the tables that some jobs make, in order; the next ones are made meanwhile, on every core."""
    tables = _ahead(jobs)
    first = next(tables)
    numbers = [name for name in first.schema.names if first.schema.field(name).type == pa.int64()]
    texts = [name for name in ("city", "interests.list.element") if name.split(".")[0] in first.schema.names]
    encodings: dict[str, Any] = {
        "use_dictionary": texts, "column_encoding": dict.fromkeys(numbers, "DELTA_BINARY_PACKED")
    }  # fmt: skip
    with pq.ParquetWriter(path, first.schema, compression="zstd", write_statistics=False, **encodings) as writer:
        writer.write_table(first)
        for table in tables:
            writer.write_table(table)


def _ahead(jobs: Iterable[Callable[[], pa.Table]]) -> Iterator[pa.Table]:
    workers = os.cpu_count() or 1
    waiting = iter(jobs)
    with ThreadPoolExecutor(workers) as pool:
        running = deque(pool.submit(job) for job in islice(waiting, 2 * workers))
        while running:
            done = running.popleft()
            running.extend(pool.submit(job) for job in islice(waiting, 1))
            yield done.result()


def _found_society(people: int, seed: int) -> _Society:
    towns = np.append(np.arange(max(1, people // TOWN_SIZE)) * TOWN_SIZE, people)
    borders, popularity = [np.zeros(1, np.int64)], np.empty(people)
    for town, (first, stop) in enumerate(pairwise(towns.tolist())):
        rng, size = np.random.default_rng([seed, 1, town]), stop - first
        shares = np.sort(rng.pareto(1.5, max(4, int(size**0.5 / 2))) + 0.5)[::-1]
        borders.append(first + np.round(np.cumsum(shares) / shares.sum() * size).astype(np.int64))
        popularity[first:stop] = np.minimum(rng.pareto(2.0, size) + 0.4, size**0.5)
    firsts = np.concatenate(borders)
    community = np.repeat(np.arange(len(firsts) - 1, dtype=np.int32), np.diff(firsts))
    reach = np.zeros(people + 1)
    np.cumsum(popularity, out=reach[1:])
    return _Society(reach, _make_guide(reach), community, firsts, towns)


def _people(society: _Society, ids: Int64[ndarray, "people"], vector: int, seed: int) -> Iterator[Callable]:
    """The node table, people in no order."""
    people = len(ids)
    profiles = Profiles.draw(len(society.borders) - 1, people // CIRCLE_SIZE + 1, vector, seed=seed)
    order = np.random.default_rng([seed, 2]).permutation(people)
    for start in range(0, people, CHUNK):

        def make(start: int = start) -> pa.Table:
            who = order[start : start + CHUNK]
            columns = profiles.columns(society.community[who], who // CIRCLE_SIZE, start)
            return pa.table({"id": pa.array(ids[who]), **columns})

        yield make


def _friendships(
    society: _Society, ids: Int64[ndarray, "people"], friendships: int, seed: int, *, timed: bool
) -> Iterator[Callable]:
    """The edge table, one town after the other, and then what joins towns."""
    shares = np.diff(society.reach[society.towns]) / society.reach[-1]
    between = round((1 - NEAR) * friendships * (1 - float((shares**2).sum())))
    ends = np.round(np.cumsum(shares) * (friendships - between)).astype(np.int64)

    def table(pairs: Int32[ndarray, "pairs two"], first: int, count: int) -> pa.Table:
        """Some of `count` friendships that were made in the course of the years, from the `first` one on."""
        columns = {name: pa.array(ids[pairs[:, side]]) for side, name in enumerate(("src", "dst"))}
        if timed:
            numbers = np.arange(first, first + len(pairs), dtype=np.int64)
            columns["time"] = pa.array(START_S + STEP_S * (numbers * friendships // max(count, 1)))
        return pa.table(columns)

    for town, count in enumerate(np.diff(ends, prepend=0).tolist()):
        yield lambda town=town, count=count: table(
            _befriend_town(society, town, count, float(shares[town]), seed), 0, count
        )
    far = _befriend_far(society, between, seed)
    for start in range(0, between, 1 << 20):
        yield lambda start=start: table(far[start : start + (1 << 20)], start, between)


def _befriend_town(society: _Society, town: int, count: int, share: float, seed: int) -> Int32[ndarray, "pairs two"]:
    """The friendships within a town, in the order of time."""
    first, stop = society.towns[town : town + 2].tolist()
    pairs = np.empty((count, 2), np.int32)
    memory = np.full((stop - first, REMEMBERED), -1, np.int32)
    state = int(mix(int(mix(seed)) ^ town))
    _befriend(pairs, society, (first, stop), (NEAR + (1 - NEAR) * share, memory, _new_filter(count)), state)
    return pairs


def _befriend_far(society: _Society, count: int, seed: int) -> Int32[ndarray, "pairs two"]:
    """The friendships between towns."""
    pairs = np.empty((count, 2), np.int32)
    _befriend_anywhere(pairs, society, _new_filter(count), int(mix(~seed)))
    return pairs


def _new_filter(count: int) -> ndarray:
    """16 bits a friendship and two probes: one pair in about 70 is taken for a repetition and another drawn instead."""
    return np.zeros(1 << max(6, (2 * count).bit_length()), np.uint8)


@kernel
def _make_guide(reach):
    """For each of as many cells as there are people, the person whose step holds its beginning."""
    people = len(reach) - 1
    guide = np.empty(people + 1, np.int32)
    person = 0
    for cell in range(people + 1):
        while person < people - 1 and reach[person + 1] <= cell * (reach[-1] / people):
            person += 1
        guide[cell] = person
    return guide


@kernel
def _befriend(pairs, society, town, means, state):
    """Fill `pairs` with new friendships of one town."""
    span, memory, seen = means
    first, stop = town
    made = 0
    while made < len(pairs):
        state = mix(state)
        person = _meet(society, first, stop, state)
        other = _find_friend(person, society, town, span, memory, mix(state + 1))
        if other < 0 or other == person or _seen_before(seen, person, other):
            continue
        _remember(memory, person - first, other, mix(state + 2))
        _remember(memory, other - first, person, mix(state + 3))
        pairs[made, 0], pairs[made, 1] = person, other
        made += 1


@kernel
def _befriend_anywhere(pairs, society, seen, state):
    """Fill `pairs` with new friendships of people of two towns."""
    people, last = len(society.reach) - 1, len(society.towns) - 2
    made = 0
    while made < len(pairs):
        state = mix(state)
        person, other = _meet(society, 0, people, state), _meet(society, 0, people, mix(state + 1))
        if min(person // TOWN_SIZE, last) == min(other // TOWN_SIZE, last) or _seen_before(seen, person, other):
            continue
        pairs[made, 0], pairs[made, 1] = person, other
        made += 1


@kernel
def _find_friend(person, society, town, span, memory, bits):
    """In the circle (35 of 100), through a friend (30), in the community (27), or in town; -1 where there is none."""
    first, stop = town
    way, bits = span * _uniform(bits), mix(bits)
    if way < 0.35:
        circle = person - person % CIRCLE_SIZE
        return _meet(society, circle, min(circle + CIRCLE_SIZE, stop), bits)
    if way < 0.65:
        friend = memory[person - first, int(_uniform(bits) * REMEMBERED)]
        return np.int64(memory[friend - first, int(_uniform(mix(bits)) * REMEMBERED)] if friend >= 0 else friend)
    if way < NEAR:
        own = society.community[person]
        return _meet(society, society.borders[own], society.borders[own + 1], bits)
    return _meet(society, first, stop, bits)


@kernel
def _meet(society, first, stop, bits):
    """A person of `first` to `stop` - 1, by popularity: the inverse of its distribution, begun at a guide's place.

    Chen and Asau (1974): two steps on average, however many people there are.
    """
    reach = society.reach
    point = reach[first] + _uniform(bits) * (reach[stop] - reach[first])
    person = max(first, np.int64(society.guide[int(point * ((len(reach) - 1) / reach[-1]))]) - 1)
    while person < stop - 1 and reach[person + 1] <= point:
        person += 1
    return person


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
