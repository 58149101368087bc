"""The benchmarks travel in the wheel and in the sdist, and an editable install keeps to those of the source tree."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SUITE = "imine/bench/suite/"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    build = pytest.importorskip("build")
    environments = pytest.importorskip("build.env")
    folder = tmp_path_factory.mktemp("built")
    found = {}
    with environments.DefaultIsolatedEnv() as environment:
        builder = build.ProjectBuilder.from_isolated_env(environment, ROOT)
        environment.install(builder.build_system_requires)
        environment.install(builder.get_requires_for_build("editable"))
        for kind in ("wheel", "editable", "sdist"):
            found[kind] = Path(builder.build(kind, folder / kind))
    return found


def test_the_wheel_holds_every_benchmark_and_no_results(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["wheel"]) as archive:
        names = {name.removeprefix(SUITE) for name in archive.namelist() if name.startswith(SUITE)}
    assert names == {path.name for path in (ROOT / "benchmarks").glob("*.py")}
    assert {"conftest.py", "pools.py", "bench_lexical.py"} <= names


def test_an_editable_install_gets_no_copy_that_would_grow_stale(built: dict[str, Path]) -> None:
    with zipfile.ZipFile(built["editable"]) as archive:
        assert not [name for name in archive.namelist() if name.startswith("imine/")]


def test_a_wheel_can_be_built_from_the_sdist(built: dict[str, Path]) -> None:
    with tarfile.open(built["sdist"]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"hatch_build.py", "benchmarks/bench_lexical.py", "benchmarks/conftest.py"} <= names


def test_the_wheel_runs_its_own_benchmarks_from_anywhere(built: dict[str, Path], tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(built["wheel"]) as archive:
        archive.extractall(site)
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r})\n"
        "from imine.bench.locate import suite_folder; print(suite_folder())\n"
        "from imine.__main__ import main; main(['bench', '--quick', '-k', 'process and polars'])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(done.stdout.splitlines()[0]) == site / SUITE
    (stored,) = (tmp_path / "imine-bench").glob("*.json")
    content = json.loads(stored.read_text())
    assert [one["name"] for one in content["measured"]] == ["start/process[import polars]"]
    assert content["commit"] is None
