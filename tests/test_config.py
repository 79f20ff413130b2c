"""Settings: layers of them, and what is said of wrong ones."""

import tomllib
from pathlib import Path

import pytest

from amity.config import Config, load_config, save_config
from amity.errors import ConfigError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def refusal(file: Path, text: str, flags: dict | None = None) -> str:
    file.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(file, flags)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_an_empty_file_gives_the_defaults(file: Path):
    file.write_text("")
    assert load_config(file) == load_config() == Config()


def test_flags_win_over_the_file_and_the_file_over_the_defaults(file: Path):
    file.write_text("seed = 3\n[training]\nsteps = 5\nlearning_rate = 0.5\n")
    config = load_config(file, {"training": {"steps": 7}})
    assert (config.seed, config.training.steps, config.training.learning_rate) == (3, 7, 0.5)
    assert config.encoder == Config().encoder


def test_what_is_saved_loads_as_the_same_settings(file: Path):
    flags = {"ingestion": {"edges": {"friend": {"table": "links.csv"}}}, "sampling": {"fanout": (3, 2)}, "seed": 9}
    config = load_config(flags=flags)
    save_config(config, file)
    again = load_config(file)
    assert again == config
    assert again.ingestion.model_dump(exclude_unset=True) == config.ingestion.model_dump(exclude_unset=True)


def test_sections_stand_in_the_order_of_the_flow(file: Path):
    save_config(Config(), file)
    flow = [
        "ingestion",
        "splitting",
        "clustering",
        "sampling",
        "encoder",
        "objectives",
        "training",
        "embedding",
        "index",
        "retrieval",
        "evaluation",
    ]
    assert [key for key, value in tomllib.loads(file.read_text()).items() if isinstance(value, dict)] == flow


def test_saved_ingestion_holds_only_what_was_set_so_that_the_tables_may_describe_themselves(file: Path):
    save_config(load_config(flags={"ingestion": {"dangling": "error"}}), file)
    assert tomllib.loads(file.read_text())["ingestion"] == {"dangling": "error"}


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("[training]\nstepz = 3", "Did you mean `training.steps`?"),
        ("[trainin]\nsteps = 3", "Did you mean `training`?"),
        ("[encoder]\nlearning_rates = 3", "The nearest known key is `training.learning_rate`."),
        ("[objectives.cca_ssg]\nwait = 3", "Did you mean `objectives.cca_ssg.weight`?"),
        ('[ingestion.edges.friend]\ntabel = "x"', "Did you mean `ingestion.edges.friend.table`?"),
        ("[objectives.cca_ssg]\nzzz = 3", "Known here: weight"),
    ],
)
def test_an_unknown_key_is_refused_with_the_nearest_known_one(file: Path, text: str, hint: str):
    message = refusal(file, text)
    assert str(file) in message
    assert hint in message


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("[training]\nsteps = -1", "training.steps"),
        ('[training]\nsteps = "many"', "training.steps"),
        ("[training]\nlearning_rate = nan", "training.learning_rate"),
        ("training = 3", "training"),
        ("seed = -1", "seed"),
        ("[splitting]\nvalid = 0.6\ntest = 0.6", "splitting"),
        ('[index]\nkind = "magic"', "index.kind"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name_and_file(file: Path, text: str, name: str):
    message = refusal(file, text)
    assert f"`{name}`" in message
    assert str(file) in message


def test_a_wrong_flag_is_not_blamed_on_the_file(file: Path):
    message = refusal(file, "seed = 1", {"training": {"steps": -1}})
    assert "`training.steps`" in message
    assert str(file) not in message


def test_checks_between_settings_wait_until_file_and_flags_are_merged(file: Path):
    file.write_text("[splitting]\nvalid = 0.5\ntest = 0.1\n")
    assert load_config(file, {"splitting": {"test": 0.4}}).splitting.test == 0.4
    assert "splitting" in refusal(file, file.read_text(), {"splitting": {"test": 0.5}})


@pytest.mark.parametrize("text", ["[training", "steps = ", "\x00"])
def test_a_file_that_is_not_toml_is_refused(file: Path, text: str):
    assert "is not TOML" in refusal(file, text)


def test_a_file_in_another_encoding_is_refused(file: Path):
    file.write_bytes("# naïve".encode("latin-1"))
    with pytest.raises(ConfigError, match="is not TOML"):
        load_config(file)


def test_a_file_that_is_not_there_is_refused(file: Path):
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(file)


@pytest.mark.parametrize(
    "path", sorted((Path(__file__).parents[1] / "experiments").glob("*.toml")), ids=lambda p: p.stem
)
def test_the_settings_of_experiments_can_stand(path: Path):
    load_config(path)
