"""``imine doctor``: what is usable here."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from imine import doctor
from imine.__main__ import main
from imine.columns import COLUMNS
from imine.doctor import EXTRAS, Finding, examine
from imine.indicators.models import MODELS

ROOT = Path(__file__).resolve().parents[1]


def of_topic(topic: str) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine() if finding.topic == topic}


def test_the_extras_are_those_of_the_package() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for name, packages in EXTRAS.items():
        names = [line.split(">")[0].split("=")[0].split("<")[0].split("[")[0] for line in declared[name]]
        assert set(packages) == set(names) - {"imine"}, name
    assert set(declared) - set(EXTRAS) == {"all", "dev"}


def test_a_missing_package_is_named_with_its_install_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_version", lambda package: None if package == "gguf" else "1.0")
    found = of_topic("extra")
    assert found["models"] == Finding(
        "extra", "models", False, 'gguf not installed: pip install "imine[models]"'
    )
    assert found["report"] == Finding("extra", "report", True, "jinja2 1.0")


def test_models_and_indicators_that_are_not_here_say_what_to_do(own_cache: Path) -> None:
    models = of_topic("model")
    assert set(models) == {*MODELS, "cache folder"}
    assert models["unieval-dialog"].about == "imine models convert unieval-dialog fetches 3.1 GB"
    assert models["smollm2-135m"].about == "imine models get smollm2-135m fetches 93 MB"
    assert not any(models[name].usable for name in MODELS)
    assert models["cache folder"].usable
    groups = of_topic("indicators")
    assert set(groups) == {spec.group for spec in COLUMNS.values()}
    assert groups["lexical"].usable
    assert groups["reward"] == Finding("indicators", "reward", False, "reward: its model is not here")


def test_devices_and_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:secret@mirror.example/simple")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = of_topic("environment")
    assert found["PIP_INDEX_URL"].about == "https://mirror.example/simple"
    assert found["HF_HUB_OFFLINE"].about == "1"
    assert "cores" in of_topic("device")["cpu"].about


def test_the_command_shows_every_finding(own_cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["doctor"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    for finding in examine():
        assert finding.name in shown
        assert finding.about in shown
