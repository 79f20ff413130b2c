import collaborative
import divide
import levers
import pytest
import robustness
import table


@pytest.mark.parametrize("arm", sorted(path.stem for path in table.ARMS.glob("*.toml")))
def test_the_settings_of_every_arm_can_stand(arm: str):
    assert table.settings("fb100_reed", arm, 3).seed == 3


@pytest.mark.parametrize("option", ["--networks", "--seeds"])
@pytest.mark.parametrize(
    ("module", "page", "network"),
    [
        (table, "RESULTS", "fb100_reed"),
        (divide, "DIVIDE", "fb100_cornell"),
        (levers, "LEVERS", "fb100_reed"),
        (robustness, "ROBUSTNESS", "fb100_reed"),
        (collaborative, "COLLABORATIVE", "gowalla_lightgcn"),
    ],
)
def test_no_part_takes_the_place_of_a_published_page(
    module, page: str, network: str, option: str, monkeypatch, capsys, tmp_path
):
    part = [option, {"--networks": network, "--seeds": "9"}[option]]
    monkeypatch.setattr("sys.argv", ["", "data", *part])
    with pytest.raises(SystemExit, match="2"):
        module.arguments()
    assert f"{page}.md holds the whole table" in " ".join(capsys.readouterr().err.split())
    for given in (["data"], ["data", *part, "--page", str(tmp_path / "part.md")]):
        monkeypatch.setattr("sys.argv", ["", *given])
        module.arguments()


@pytest.mark.parametrize("lever", levers.LEVERS)
def test_the_settings_of_every_lever_can_stand(lever: str):
    config = levers.under(table.settings("fb100_reed", table.WHOLE, 3), lever)
    assert (config.seed, config.evaluation.baselines) == (3, ())


@pytest.mark.parametrize(
    ("kind", "name", "arm"),
    [(kind, name, arm) for kind, family in divide.FAMILIES.items() for name in family.seeds for arm in family.arms],
)
def test_the_settings_of_every_divided_arm_can_stand(kind: str, name: str, arm: str):
    assert divide.settings(kind, name, arm, 3).seed == 3
