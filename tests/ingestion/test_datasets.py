"""Every real data set is read as it lies, by its page under examples/datasets."""

import tomllib
from pathlib import Path

import pytest

from amity.graph import Graph
from amity.graph.storage import read_summary
from amity.ingestion import IngestionConfig, ingest

PAGES = Path(__file__).parents[2] / "examples" / "datasets"

SETS = {
    "amazon_beauty_s3rec": (34_464, 198_502),
    "amazon_photo": (7_650, 238_162),
    "amazonbook_kgat": (95_594, 846_434),
    "bitcoin_alpha": (3_783, 24_186),
    "blogcatalog": (5_196, 343_486),
    "coauthor_cs": (18_333, 163_788),
    "collegemsg": (1_899, 20_296),
    "deezer_hu": (47_538, 445_774),
    "diffnet_yelp": (54_615, 207_945),
    "ego_facebook": (4_039, 176_468),
    "epinions_trust_temporal": (8_518, 299_936),
    "facebook_pages": (22_470, 341_646),
    "fb100_amherst": (2_235, 181_908),
    "fb100_berkeley": (22_937, 1_704_888),
    "fb100_caltech": (769, 33_312),
    "fb100_cornell": (18_660, 1_581_554),
    "fb100_johnshopkins": (5_180, 373_172),
    "fb100_mit": (6_440, 502_504),
    "fb100_reed": (962, 37_624),
    "foursquare_nyc": (4_024, 26_650),
    "foursquare_saopaulo": (3_954, 33_938),
    "github_social": (37_700, 578_006),
    "gowalla_lightgcn": (70_839, 1_027_370),
    "heart_citeseer": (3_327, 9_104),
    "lastfm_hetrec": (1_892, 25_434),
    "ml100k": (2_625, 100_000),
    "ml1m_sequences": (9_923, 1_000_209),
    "movielens1m_m1": (9_065, 895_699),
    "twitch_de": (9_498, 306_276),
    "twitch_engb": (7_126, 70_648),
    "yelp2018_lightgcn": (69_716, 1_561_406),
}
"""Nodes, and edges of the target relation (a friendship counts twice)."""


def config_for(name: str) -> IngestionConfig:
    """The page of a data set: that of its name, or of the family that its first word names."""
    tries = [PAGES / f"{name}.toml", PAGES / f"{name.split('_', maxsplit=1)[0]}.toml"]
    page = next(path for path in tries if path.exists())
    return IngestionConfig.model_validate(tomllib.loads(page.read_text())["ingestion"])


def read_set(shared_data: Path, name: str, folder: Path) -> Graph:
    if not (shared_data / name).is_dir():
        pytest.skip(f"no data set {name} in {shared_data}")
    return ingest(shared_data / name, folder / "graph", config_for(name))


@pytest.mark.parametrize("name", SETS)
def test_a_real_set_is_read_as_it_lies(shared_data: Path, tmp_path: Path, name: str):
    graph = read_set(shared_data, name, tmp_path)
    assert (graph.num_nodes, graph.target.adjacency.num_edges) == SETS[name]
    for relation in read_summary(tmp_path / "graph")["edges"].values():
        for table in relation["tables"].values():
            assert table["dangling"] == table["null_ids"] == 0


@pytest.mark.slow
def test_eighty_colleges_are_one_graph(shared_data: Path, tmp_path: Path):
    graph = read_set(shared_data, "fb100_many", tmp_path)
    assert (graph.num_nodes, graph.target.adjacency.num_edges) == (788_670, 59_744_918)


def test_every_set_has_a_page_and_a_test(shared_data: Path):
    found = {path.name for path in shared_data.iterdir() if path.is_dir()}
    assert found <= set(SETS) | {"fb100_many"}
    for name in found:
        config_for(name)


def test_new_friendships_of_foursquare_are_test(shared_data: Path, tmp_path: Path):
    adjacency = read_set(shared_data, "foursquare_nyc", tmp_path).target.adjacency
    assert (adjacency.parts == 0).sum() == 2 * 8_722
    assert (adjacency.parts == 2).sum() == 2 * (13_325 - 8_722)
