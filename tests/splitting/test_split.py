import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from amity.errors import ArtifactError, SplitError
from amity.graph import Adjacency, Graph, NodeKind, Relation, from_pairs, reverse, union
from amity.graph.vocabulary import integer_vocabulary
from amity.splitting import SplittingConfig, assignment, check_no_leak, open_split, split_edges

EVEN = SplittingConfig(valid=0.2, test=0.3)


def edge_set(adjacency: Adjacency) -> set[tuple[int, int]]:
    return set(zip(adjacency.sources().tolist(), adjacency.indices.tolist(), strict=True))


def undirected(edges: set[tuple[int, int]]) -> set[tuple[int, int]]:
    return edges | {(target, source) for source, target in edges}


def with_arrays(graph: Graph, **arrays: np.ndarray) -> Graph:
    """The same graph with times, weights or parts on its only relation."""
    relation = replace(graph.target, adjacency=replace(graph.target.adjacency, **arrays))
    return graph.with_edges((relation,), relation.adjacency)


def symmetric(adjacency: Adjacency, values: dict[tuple[int, int], int], dtype: type) -> np.ndarray:
    """One value an edge, the same both ways."""
    pairs = zip(adjacency.sources().tolist(), adjacency.indices.tolist(), strict=True)
    return np.array([values[min(pair), max(pair)] for pair in pairs], dtype)


def timed(graph: Graph, moments: int, seed: int = 0) -> Graph:
    rng = np.random.default_rng(seed)
    times = {pair: int(rng.integers(0, moments)) for pair in sorted(edge_set(graph.target.adjacency))}
    return with_arrays(graph, times=symmetric(graph.target.adjacency, times, np.int64))


def cut_by_hand(times: np.ndarray, *, valid: float, test: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The sorted times of train, valid and test: an instant that a share would cut is later, all of it."""

    def tail(times: np.ndarray, share: float) -> np.ndarray:
        wanted = math.ceil(max(1, round(2 * count * share)) / 2)
        return times >= times[max(0, len(times) - wanted)] if len(times) else np.zeros(0, bool)

    count = len(times)
    late = tail(times, test)
    early = times[~late]
    middle = tail(early, valid)
    return early[~middle], early[middle], times[late]


def shop_graph(seed: int = 0) -> Graph:
    """40 users who like 30 items and are friends."""
    rng = np.random.default_rng(seed)
    users = NodeKind("user", 0, integer_vocabulary(np.arange(40)))
    items = NodeKind("item", 40, integer_vocabulary(np.arange(30)))
    likes = from_pairs(rng.integers(0, 40, 300), rng.integers(40, 70, 300), num_nodes=70)
    some, others = rng.integers(0, 40, 80), rng.integers(0, 40, 80)
    apart = some != others
    friends = from_pairs(
        np.concatenate([some[apart], others[apart]]), np.concatenate([others[apart], some[apart]]), num_nodes=70
    )
    relations = (
        Relation("likes", "user", "item", undirected=False, adjacency=likes),
        Relation("friends", "user", "user", undirected=True, adjacency=friends),
    )
    return Graph((users, items), relations, union(union(likes, reverse(likes)), friends))


@pytest.fixture
def graph(make_random_friend_graph):
    return make_random_friend_graph(120, 800, 3)


@pytest.mark.parametrize("by", ["random", "time"])
def test_every_edge_falls_into_one_part_with_its_reverse(graph, tmp_path, by):
    graph = timed(graph, 1000)
    split = split_edges(graph, EVEN.model_copy(update={"by": by}), tmp_path, seed=1)
    parts = [edge_set(part) for part in (split.train.target.adjacency, split.valid.truth, split.test.truth)]
    assert set.union(*parts) == edge_set(graph.target.adjacency)
    assert sum(map(len, parts)) == graph.target.adjacency.num_edges
    for part in parts:
        assert part == undirected(part)


@pytest.mark.parametrize("by", ["random", "time"])
def test_the_parts_have_their_shares(make_random_friend_graph, tmp_path, by):
    graph = timed(make_random_friend_graph(2000, 20000, 1), 10**9)
    split = split_edges(graph, SplittingConfig(by=by, valid=0.1, test=0.2), tmp_path, seed=1)
    edges = graph.target.adjacency.num_edges
    tolerance = 0.01 if by == "random" else 1e-4
    assert split.valid.truth.num_edges / edges == pytest.approx(0.1, abs=tolerance)
    assert split.test.truth.num_edges / edges == pytest.approx(0.2, abs=tolerance)


def test_a_random_part_hangs_on_the_pair_alone(graph, tmp_path):
    whole = split_edges(graph, EVEN, tmp_path / "whole", seed=4)
    adjacency = graph.target.adjacency
    kept = (adjacency.sources() + adjacency.indices) % 3 != 0
    fewer = from_pairs(adjacency.sources()[kept], adjacency.indices[kept], num_nodes=graph.num_nodes)
    relation = replace(graph.target, adjacency=fewer)
    part = split_edges(graph.with_edges((relation,), fewer), EVEN, tmp_path / "part", seed=4)
    assert edge_set(part.test.truth) == edge_set(whole.test.truth) & edge_set(fewer)


def test_seeds_give_different_splits_and_repeat_themselves(graph, tmp_path):
    first, again, other = (split_edges(graph, EVEN, tmp_path / str(i), seed=s) for i, s in enumerate((5, 5, 6)))
    assert edge_set(first.test.truth) == edge_set(again.test.truth)
    assert edge_set(first.test.truth) != edge_set(other.test.truth)


@settings(max_examples=25)
@given(moments=st.integers(1, 60), valid=st.floats(0.02, 0.4), test=st.floats(0.02, 0.4), seed=st.integers(0, 99))
def test_a_split_by_time_takes_the_latest_and_cuts_no_instant(
    make_random_friend_graph, tmp_path_factory, moments, valid, test, seed
):
    graph = timed(make_random_friend_graph(30, 80, seed), moments, seed)
    adjacency = graph.target.adjacency
    once = np.sort(adjacency.times[adjacency.sources() < adjacency.indices])
    expected = cut_by_hand(once, valid=valid, test=test)
    config = SplittingConfig(by="time", valid=valid, test=test)
    directory = tmp_path_factory.mktemp("split")
    if not all(len(part) for part in expected):
        with pytest.raises(SplitError, match="part is empty"):
            split_edges(graph, config, directory, seed=0)
        return
    split = split_edges(graph, config, directory, seed=0)
    for part, by_hand in zip(
        (split.train.target.adjacency, split.valid.truth, split.test.truth), expected, strict=True
    ):
        assert np.sort(part.times)[::2].tolist() == by_hand.tolist()
    check_no_leak(split)


def test_what_another_split_has_mapped_is_not_overwritten(graph, tmp_path):
    split = split_edges(graph, EVEN, tmp_path, seed=1)
    before = edge_set(split.train.target.adjacency)
    with pytest.raises(ArtifactError, match="not an empty directory"):
        split_edges(graph, EVEN, tmp_path, seed=2)
    assert edge_set(split.train.target.adjacency) == before


def test_a_split_that_fails_leaves_nothing(graph, tmp_path):
    with pytest.raises(SplitError):
        split_edges(graph, SplittingConfig(valid=1e-6), tmp_path, seed=0)
    assert list(tmp_path.iterdir()) == []


def test_negative_and_extreme_times_are_ordered_like_others(graph, tmp_path):
    adjacency = timed(graph, 50).target.adjacency
    stretched = (adjacency.times - 25) * ((2**63 - 1) // 25)
    far = split_edges(with_arrays(graph, times=stretched), SplittingConfig(by="time"), tmp_path / "far", seed=0)
    near = split_edges(timed(graph, 50), SplittingConfig(by="time"), tmp_path / "near", seed=0)
    assert edge_set(far.test.truth) == edge_set(near.test.truth)
    assert edge_set(far.valid.truth) == edge_set(near.valid.truth)


def test_times_and_weights_stay_with_their_edges(graph, tmp_path):
    graph = timed(graph, 1000)
    adjacency = graph.target.adjacency
    graph = with_arrays(graph, weights=(adjacency.sources() * 1000 + adjacency.indices).astype(np.float32))
    split = split_edges(graph, EVEN, tmp_path, seed=1)
    times = dict(zip(zip(adjacency.sources(), adjacency.indices, strict=True), adjacency.times, strict=True))
    for part in (split.train.target.adjacency, split.valid.truth, split.test.truth):
        assert part.weights.tolist() == (part.sources() * 1000 + part.indices).tolist()
        assert part.times.tolist() == [times[edge] for edge in zip(part.sources(), part.indices, strict=True)]


def test_given_parts_are_kept_whatever_the_rule(graph, tmp_path):
    labels = {pair: (sum(pair) % 5 == 0) + 2 * (sum(pair) % 5 == 1) for pair in edge_set(graph.target.adjacency)}
    graph = timed(with_arrays(graph, parts=symmetric(graph.target.adjacency, labels, np.int8)), 1000)
    for by in ("given", "random", "time"):
        split = split_edges(graph, SplittingConfig(by=by), tmp_path / by, seed=1)
        assert edge_set(split.valid.truth) == {pair for pair, part in labels.items() if part == 1}
        assert edge_set(split.test.truth) == {pair for pair, part in labels.items() if part == 2}
        check_no_leak(split)


def test_both_given_parts_are_kept_by_time_though_there_are_no_times(graph, tmp_path):
    labels = {pair: sum(pair) % 3 for pair in edge_set(graph.target.adjacency)}
    graph = with_arrays(graph, parts=symmetric(graph.target.adjacency, labels, np.int8))
    split = split_edges(graph, SplittingConfig(by="time"), tmp_path, seed=1)
    assert edge_set(split.test.truth) == {pair for pair, part in labels.items() if part == 2}
    assert split.cutoffs is None


@pytest.mark.parametrize("by", ["random", "time"])
def test_a_part_that_is_not_given_is_drawn_from_train(graph, tmp_path, by):
    labels = {pair: 2 * (sum(pair) % 4 == 0) for pair in edge_set(graph.target.adjacency)}
    graph = timed(with_arrays(graph, parts=symmetric(graph.target.adjacency, labels, np.int8)), 1000)
    split = split_edges(graph, SplittingConfig(by=by, valid=0.2), tmp_path, seed=1)
    assert edge_set(split.test.truth) == {pair for pair, part in labels.items() if part == 2}
    drawn = split.valid.truth.num_edges / sum(part == 0 for part in labels.values())
    assert drawn == pytest.approx(0.2, abs=0.08 if by == "random" else 0.01)
    if by == "time":
        assert split.train.target.adjacency.times.max() < split.valid.truth.times.min()
    check_no_leak(split)


def test_given_refuses_tables_that_give_nothing_or_only_one_part(graph, tmp_path):
    with pytest.raises(SplitError, match="no split at all for the relation 'friend'"):
        split_edges(graph, SplittingConfig(by="given"), tmp_path, seed=0)
    labels = {pair: 2 * (sum(pair) % 4 == 0) for pair in edge_set(graph.target.adjacency)}
    halfway = with_arrays(graph, parts=symmetric(graph.target.adjacency, labels, np.int8))
    with pytest.raises(SplitError, match="only a test part"):
        split_edges(halfway, SplittingConfig(by="given"), tmp_path, seed=0)


def test_time_refuses_edges_without_times(graph, tmp_path):
    with pytest.raises(SplitError, match="have none"):
        split_edges(graph, SplittingConfig(by="time"), tmp_path, seed=0)


def test_an_empty_part_is_refused_with_its_counts(make_friend_graph, tmp_path):
    graph = make_friend_graph(np.array([0, 1]), np.array([1, 2]), num_nodes=3)
    with pytest.raises(SplitError, match="part is empty: of the edges of 'friend'"):
        split_edges(graph, SplittingConfig(valid=0.01, test=0.01), tmp_path, seed=0)
    instant = with_arrays(graph, times=np.zeros(4, np.int64))
    with pytest.raises(SplitError, match="0 fall to train, 0 to valid and 2 to test"):
        split_edges(instant, SplittingConfig(by="time"), tmp_path, seed=0)


def test_an_edgeless_relation_is_refused(tmp_path, make_friend_graph):
    graph = make_friend_graph(np.array([], int), np.array([], int), num_nodes=3)
    with pytest.raises(SplitError, match="train part is empty"):
        split_edges(graph, SplittingConfig(), tmp_path, seed=0)


@pytest.mark.parametrize("values", [{"valid": 0}, {"test": 1}, {"valid": 0.6, "test": 0.4}, {"supervision": 0}])
def test_shares_that_cannot_be_are_refused(values):
    with pytest.raises(ValidationError):
        SplittingConfig(**values)


def test_messages_of_one_friendship_are_the_train_edges_themselves(graph, tmp_path):
    split = split_edges(graph, EVEN, tmp_path, seed=1)
    assert split.train.messages is split.train.target.adjacency
    assert not (tmp_path / "messages").exists()
    assert split.supervision is split.train.messages
    assert not (tmp_path / "supervision").exists()


def test_edges_that_only_supervise_carry_no_messages_but_stay_known(graph, tmp_path):
    split = split_edges(graph, SplittingConfig(supervision=0.4), tmp_path, seed=1)
    messages, supervising = edge_set(split.train.messages), edge_set(split.supervision)
    assert supervising == undirected(supervising)
    assert not messages & supervising
    assert messages | supervising == edge_set(split.train.target.adjacency)
    assert len(supervising) / split.train.target.adjacency.num_edges == pytest.approx(0.4, abs=0.08)
    check_no_leak(split)


@pytest.mark.parametrize("supervision", [1.0, 0.5])
def test_only_the_first_relation_is_divided(tmp_path, supervision):
    graph = shop_graph()
    split = split_edges(graph, SplittingConfig(valid=0.2, test=0.3, supervision=supervision), tmp_path, seed=2)
    quiet = edge_set(split.supervision) if supervision < 1 else set()
    heard = edge_set(split.train.target.adjacency) - quiet
    assert split.train.relations[1] is graph.relations[1]
    assert edge_set(split.train.messages) == undirected(heard | edge_set(graph.relations[1].adjacency))
    assert all(source < 40 <= target for source, target in edge_set(split.test.truth))
    check_no_leak(split)


def test_a_pair_that_another_relation_holds_still_carries_messages(graph, tmp_path):
    second = replace(graph.target, name="colleague")
    doubled = graph.with_edges((graph.target, second), graph.messages)
    split = split_edges(doubled, EVEN, tmp_path, seed=1)
    assert edge_set(split.train.messages) == edge_set(graph.messages)
    check_no_leak(split)


def viewed_shop(likes_at: int, views_at: int, seed: int) -> Graph:
    """A shop whose likes and views have times in so many moments; some pairs are both, and friends have no times."""
    rng, graph = np.random.default_rng(seed), shop_graph(seed)
    likes, friends = graph.relations
    some = rng.random(likes.adjacency.num_edges) < 0.5
    sources = np.concatenate([likes.adjacency.sources()[some], rng.integers(0, 40, 60)])
    targets = np.concatenate([likes.adjacency.indices[some], rng.integers(40, 70, 60)])
    views = from_pairs(sources, targets, num_nodes=70)
    likes, views = (
        replace(likes, name=name, adjacency=replace(one, times=rng.integers(0, moments, one.num_edges)))
        for name, one, moments in (("likes", likes.adjacency, likes_at), ("views", views, views_at))
    )
    return graph.with_edges(
        (likes, views, friends), union(graph.messages, union(views.adjacency, reverse(views.adjacency)))
    )


@settings(max_examples=25)
@given(likes_at=st.integers(20, 1000), views_at=st.integers(1, 2000), seed=st.integers(0, 99), quiet=st.booleans())
def test_by_time_nothing_in_the_train_graph_is_later_than_its_cutoff(tmp_path_factory, likes_at, views_at, seed, quiet):
    graph = viewed_shop(likes_at, views_at, seed)
    config = SplittingConfig(by="time", valid=0.2, test=0.3, supervision=0.5 if quiet else 1)
    directory = tmp_path_factory.mktemp("split")
    split = split_edges(graph, config, directory, seed=0)
    likes, views, friends = split.train.relations
    whole = graph.relations[1].adjacency
    assert views.adjacency.times.max(initial=0) <= split.cutoffs.valid
    early = whole.times <= split.cutoffs.valid
    expected = set(zip(whole.sources()[early].tolist(), whole.indices[early].tolist(), strict=True))
    assert edge_set(views.adjacency) == expected
    assert friends is graph.relations[2]
    heard = edge_set(likes.adjacency) - (edge_set(split.supervision) if quiet else set())
    assert edge_set(split.train.messages) == undirected(heard | expected | edge_set(friends.adjacency))
    assert edge_set(open_split(directory, graph).train.relations[1].adjacency) == expected


def test_a_train_graph_that_holds_the_whole_of_a_later_relation_is_refused(tmp_path):
    graph = viewed_shop(500, 2000, 3)
    split = split_edges(graph, SplittingConfig(by="time", valid=0.2, test=0.3), tmp_path, seed=0)
    whole = (split.train.target, *graph.relations[1:])
    with pytest.raises(SplitError, match=r"the train pair \d+ - \d+ of 'views' has the time"):
        check_no_leak(replace(split, train=split.train.with_edges(whole, split.train.messages)))
    with pytest.raises(SplitError, match=r"the message \d+ - \d+ of the train graph stands on no train edge"):
        check_no_leak(replace(split, train=replace(split.train, messages=graph.messages)))


def test_at_random_relations_with_times_stay_whole(tmp_path):
    graph = viewed_shop(500, 2000, 3)
    split = split_edges(graph, EVEN, tmp_path, seed=0)
    assert split.train.relations[1] is graph.relations[1]


def test_valid_friends_are_known_when_testing_and_none_when_validating(graph, tmp_path):
    split = split_edges(graph, EVEN, tmp_path, seed=1)
    assert edge_set(split.test.known) == edge_set(split.valid.truth)
    assert split.valid.known.num_edges == 0
    assert split.valid.known.num_nodes == graph.num_nodes


def test_a_query_without_train_edges_stays_in_the_evaluation(make_friend_graph, tmp_path):
    graph = make_friend_graph(np.arange(0, 400, 2), np.arange(1, 401, 2), num_nodes=400)
    split = split_edges(graph, EVEN, tmp_path, seed=1)
    cold = (split.train.target.adjacency.degrees() == 0) & (split.test.truth.degrees() > 0)
    assert cold.sum() == split.test.truth.num_edges


def test_an_opened_split_is_the_one_that_was_written(graph, tmp_path):
    graph = timed(graph, 1000)
    written = split_edges(graph, SplittingConfig(by="time", supervision=0.5), tmp_path, seed=1)
    opened = open_split(tmp_path, graph)
    assert opened.cutoffs == written.cutoffs
    assert edge_set(opened.supervision) == edge_set(written.supervision)
    assert edge_set(opened.train.messages) == edge_set(written.train.messages)
    assert json.loads((tmp_path / "split.json").read_text())["edges"]["test"] == written.test.truth.num_edges // 2


def test_passes_in_small_runs_write_the_same_files(graph, tmp_path, monkeypatch):
    split_edges(graph, EVEN, tmp_path / "whole", seed=1)
    monkeypatch.setattr(assignment, "EDGES_AT_ONCE", 7)
    split_edges(graph, EVEN, tmp_path / "runs", seed=1)
    files = sorted(path.relative_to(tmp_path / "whole") for path in (tmp_path / "whole").rglob("*.npy"))
    assert files
    for file in files:
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "runs" / file).read_bytes()
