import numpy as np

from amity.kernels import mix, source_stamp, to_single


def test_every_finite_number_in_half_precision_is_read_exactly():
    halves = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = halves[np.isfinite(halves)]
    assert [to_single(bits) for bits in halves.view(np.uint16)] == halves.astype(np.float32).tolist()


def test_kernels_compiled_from_other_sources_are_not_taken_from_the_cache(monkeypatch):
    mix(1)
    cached = mix._cache._cache_file
    assert cached._source_stamp == source_stamp()
    assert cached._load_index()
    monkeypatch.setattr(cached, "_source_stamp", "of other sources")
    assert not cached._load_index()
