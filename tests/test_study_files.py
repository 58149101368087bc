"""The study files of the repository are right, and are what their README says."""

from __future__ import annotations

from pathlib import Path

import pytest

from imine.study import load_study
from imine.study.pilot.run import grid

STUDIES = Path(__file__).resolve().parents[1] / "studies"
DATA = STUDIES.parents[1] / "shared" / "data"

pytestmark = pytest.mark.skipif(not STUDIES.is_dir(), reason="the studies of the repository are not here")


@pytest.mark.parametrize("file", sorted(STUDIES.rglob("*.toml")), ids=lambda p: p.stem)
def test_a_study_file_loads_and_its_readme_names_it(file: Path) -> None:
    study = load_study(file)
    assert study.config.name
    assert f"`{file.relative_to(STUDIES).as_posix()}`" in (STUDIES / "README.md").read_text()
    if not DATA.is_dir():
        pytest.skip("the pools are not beside this clone (../shared/data)")
    for part in (*study.config.pools, *study.config.evaluation):
        assert study.resolve(part.path).is_file()


def test_the_accelerator_sized_study_has_the_stated_size() -> None:
    config = load_study(STUDIES / "smollm2_135m_gpu.toml").config
    assert (config.design.kind, config.design.subsets, config.design.examples) == ("multivariate", 129, 1000)
    assert (config.finetune.epochs, config.finetune.dtype) == (3, "bfloat16")
    assert [pool.name for pool in config.pools] == [
        "alpaca", "oasst", "stackexchange", "wikihow", "p3", "chatterbot"
    ]  # fmt: skip
    assert all(part.rows is None for part in config.evaluation)
    assert len(grid(config.pilot, config.finetune)) * len(config.pilot.pools) * config.pilot.draws == 45


def test_every_band_of_the_univariate_study_has_as_many_subsets() -> None:
    config = load_study(STUDIES / "smollm2_135m_univariate.toml").config
    assert config.design.kind == "univariate"
    assert config.design.subsets % (len(config.design_indicators) * config.design.bands) == 0


def test_the_optimal_study_is_that_which_ships_but_for_its_design() -> None:
    shipped = load_study(STUDIES.parent / "imine" / "rules" / "smollm2_135m" / "study.toml").config
    optimal = load_study(STUDIES / "smollm2_135m_cpu_optimal" / "study.toml").config
    for key in ("seed", "finetune", "indicators", "pilot"):
        assert getattr(optimal, key) == getattr(shipped, key)
    for key in ("pools", "evaluation"):
        parts = [
            [part.model_dump() | {"path": part.path.name} for part in getattr(c, key)]
            for c in (optimal, shipped)
        ]
        assert parts[0] == parts[1]
    assert optimal.design.examples == shipped.design.examples
    assert 4 * optimal.design.subsets - shipped.design.subsets in range(4)
