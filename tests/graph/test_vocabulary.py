"""Laws of the vocabulary: a dictionary of ids, whatever they are and however they come."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amity.errors import DataError
from amity.graph.vocabulary import Vocabulary, hash_strings, insert, integer_vocabulary, look_up, new_slots
from amity.ingestion import vocabulary as growing
from amity.ingestion.vocabulary import VocabularyBuilder, collect, row_finder, words

INTEGERS = st.lists(st.integers(-(2**63), 2**63 - 1) | st.integers(0, 9), min_size=1, max_size=80)
WORDS = st.lists(st.text(max_size=6) | st.sampled_from("abc"), min_size=1, max_size=80)
SETTINGS = settings(max_examples=25)


def build(ids: list, cuts: int = 3) -> Vocabulary:
    builder = VocabularyBuilder(text=isinstance(ids[0], str), expected=2)
    kind = pa.string() if isinstance(ids[0], str) else pa.int64()
    for part in np.array_split(np.arange(len(ids)), cuts):
        builder.add(pa.array([ids[i] for i in part], kind))
    return builder.finish()


@given(ids=INTEGERS | WORDS)
@SETTINGS
def test_rows_count_first_sights(ids: list):
    vocabulary = build(ids)
    distinct = list(dict.fromkeys(ids))
    assert vocabulary.ids(range(vocabulary.size)) == distinct
    assert [vocabulary.find(one) for one in distinct] == list(range(len(distinct)))


@given(ids=INTEGERS | WORDS, cuts=st.integers(1, 9))
@SETTINGS
def test_chunks_do_not_matter(ids: list, cuts: int):
    first, second = build(ids, 1), build(ids, cuts)
    np.testing.assert_array_equal(first.keys, second.keys)


@given(ids=INTEGERS | WORDS)
@SETTINGS
def test_collected_ids_are_sorted(ids: list):
    vocabulary = collect([pa.array(ids)])
    assert vocabulary.ids(range(vocabulary.size)) == sorted(
        set(ids), key=lambda one: one.encode() if isinstance(one, str) else one
    )
    assert words(vocabulary) == tuple(map(str, vocabulary.ids(range(vocabulary.size))))


@given(
    prefix=st.text(max_size=9),
    stems=st.lists(st.text("ab\0é", max_size=20), min_size=1, max_size=60),
)
@SETTINGS
def test_text_is_sorted_whatever_it_begins_with(prefix: str, stems: list[str]):
    ids = [prefix + stem for stem in stems]
    builder = VocabularyBuilder(text=True)
    numbers, strangers = builder.add(pa.array(ids))
    vocabulary, ranks = builder.finish_in_order()
    assert vocabulary.ids(range(vocabulary.size)) == sorted(set(ids), key=str.encode)
    assert vocabulary.ids(ranks[numbers]) == ids
    assert [ids[position] for position in strangers] == list(dict.fromkeys(ids))


@given(ids=INTEGERS | WORDS, others=INTEGERS)
@SETTINGS
def test_found_rows_are_those_of_a_dictionary(ids: list, others: list):
    wanted = ids + ([str(other) for other in others] if isinstance(ids[0], str) else others)
    vocabulary = build(ids)
    rows = {one: row for row, one in enumerate(dict.fromkeys(ids))}
    assert row_finder(vocabulary)(pa.array(wanted)).tolist() == [rows.get(one, -1) for one in wanted]


@pytest.mark.parametrize("first", [0, 17, -5, 2**63 - 10, -(2**63)])
def test_consecutive_ids_are_found_by_subtraction(first: int):
    ids = np.arange(9) + first if first < 2**62 else np.array([first + i for i in range(9)])
    vocabulary = integer_vocabulary(ids.astype(np.int64))
    wanted = np.array([-(2**63), -6, -5, 0, 3, 17, 25, 26, 2**63 - 10, 2**63 - 1, *ids])
    rows = {int(one): row for row, one in enumerate(ids)}
    assert row_finder(vocabulary)(pa.array(wanted)).tolist() == [rows.get(int(one), -1) for one in wanted]


def test_a_limit_stops_the_collection():
    assert collect([pa.array(range(5))], limit=4) is None
    assert collect([pa.array(range(5))], limit=5).size == 5
    assert collect([pa.array([], pa.int64())]) is None


def test_one_hash_of_two_strings_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(growing, "hash_strings", lambda offsets, text: np.zeros(len(offsets) - 1, np.int64))
    with pytest.raises(DataError, match=r"'b' and 'a' have the same 64-bit hash"):
        build(["a", "b"])


def test_strings_of_one_prefix_and_strings_across_a_border_differ():
    text = np.frombuffer(b"ababa", np.uint8)
    hashes = hash_strings(np.array([0, 2, 4, 5]), text)
    assert hashes[0] == hashes[1] != hashes[2]
    shifted = hash_strings(np.array([0, 1, 3, 5]), text)
    assert len({*hashes.tolist(), *shifted.tolist()}) == 3


def test_a_million_hashes_differ():
    numbers = pa.array(np.arange(1_000_000)).cast(pa.string())
    assert collect([numbers]).size == 1_000_000


def test_repeated_integers_are_refused():
    with pytest.raises(ValueError, match="not distinct"):
        integer_vocabulary(np.array([1, 2, 1]))


def test_an_integer_id_is_found_by_its_text_and_other_text_is_not():
    vocabulary = integer_vocabulary(np.array([5, -3]))
    assert [vocabulary.find(raw) for raw in ("5", "-3", 5, "+5", "005", np.int64(5))] == [0, 1, 0, 0, 0, 0]
    others = ("five", "", 2**63, str(2**70), "9" * 5000, "0_5", " 5", "٥", 5.9, "5.0", True)
    assert {vocabulary.find(other) for other in others} == {-1}


def test_text_that_is_no_unicode_is_found_nowhere():
    assert build(["a", "b"]).find("\ud800") == -1


def test_looking_up_leaves_a_full_enough_table_as_it_is():
    slots = new_slots(4)
    keys = np.array([9, 8, 7, 6])
    fresh, rows = insert(keys[:0], slots, keys)
    before = slots.copy()
    assert (fresh.tolist(), rows.tolist()) == ([0, 1, 2, 3], [0, 1, 2, 3])
    assert look_up(keys, slots, np.array([6, 5, 9])).tolist() == [3, -1, 0]
    np.testing.assert_array_equal(slots, before)
