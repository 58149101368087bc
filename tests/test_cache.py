"""What is kept between runs: why something is computed anew, what is shown, what is cleared."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import imine
from imine._cli import app
from imine.indicators.cache import ScoreStore, nearest_fingerprint
from imine.indicators.cache_folder import cache_entries, clear_cache
from imine.indicators.settings import ScoreSettings
from imine.progress import SilentProgress
from imine.sample import load_sample


class Notes(SilentProgress):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def kept(kind: str, fingerprint: dict[str, object], rows: int = 1) -> ScoreStore:
    with ScoreStore(kind, fingerprint, pl.Float64) as store:
        for i in range(rows):
            store.add(f"k{i}", float(i))
    return store


def test_a_changed_setting_is_named(own_cache: Path) -> None:
    made = {"model": {"name": "a", "sha256": "00"}, "max_tokens": 256}
    empty = ScoreStore("loss", made, pl.Float64)
    assert empty.missing(["k0"]) == [0]
    assert empty.why_anew(["k0"]) == "loss: nothing is in the cache yet"
    kept("loss", made)
    kept("loss", {"model": {"name": "b", "sha256": "11"}, "max_tokens": 99})
    wanted = made | {"max_tokens": 512, "dtype": "bfloat16"}
    other = ScoreStore("loss", wanted, pl.Float64)
    other.missing(["k0"])
    assert other.why_anew(["k0"]) == (
        "loss: computed anew, since what is in the cache was made in another way: dtype is 'bfloat16' now, None there; "
        "max_tokens is 512 now, 256 there"
    )
    assert nearest_fingerprint(other.folder, "reward", wanted) is None


def test_new_rows_are_counted_and_known_ones_are_no_reason(own_cache: Path) -> None:
    kept("loss", {"model": "a"}, rows=3)
    store = ScoreStore("loss", {"model": "a"}, pl.Float64)
    assert store.missing(["k0", "k7", "k7", "k2"]) == [1]
    assert store.why_anew(["k0", "k7", "k7", "k2"]) == (
        "loss: 2 of 3 different rows are in the cache; the others are new, or their text has changed"
    )
    again = ScoreStore("loss", {"model": "a"}, pl.Float64)
    assert again.missing(["k0"]) == []
    assert again.why_anew(["k0"]) is None
    assert ScoreStore("loss", {"model": "a"}, pl.Float64, on_disk=False).why_anew(["k0"]) is None


def test_scoring_says_why(tiny_llama: Path, own_cache: Path) -> None:
    pool, settings = load_sample()[:4], ScoreSettings(str(tiny_llama))
    told: dict[str, list[str]] = {}
    for name, chosen in (
        ("first", settings),
        ("again", settings),
        ("plain", replace(settings, template="plain")),
        ("none", replace(settings, cache=False)),
    ):
        progress = Notes()
        imine.score(pool, ["loss"], settings=chosen, progress=progress)
        told[name] = [line for line in progress.lines if "cache" in line]
    assert told["first"] == ["loss: nothing is in the cache yet"]
    assert told["again"] == told["none"] == []
    assert "template.name is 'plain' now, 'alpaca' there" in told["plain"][0]


def test_parts_are_merged_from_memory_when_the_folder_was_cleared_meanwhile(own_cache: Path) -> None:
    with ScoreStore("loss", {"model": "a"}, pl.Float64) as store:
        store.add("k0", 1.0)
        store.flush()
        clear_cache(cache_entries())
        assert not store.folder.exists()
        store.add("k1", 2.0)
        store.flush()
    again = ScoreStore("loss", {"model": "a"}, pl.Float64)
    assert again.missing(["k0", "k1"]) == []


def make_cache(folder: Path) -> None:
    kept("loss", {"indicator": "loss", "model": {"name": "tiny", "sha256": "00"}}, rows=5)
    kept("log_perplexity_alone", {"indicator": "log_perplexity_alone"}, rows=2)
    for name in ("0123456789abcdef", "fedcba9876543210"):
        (folder / "kernels" / name).mkdir(parents=True)
        (folder / "kernels" / name / "words.nbi").write_bytes(bytes(1500))
    (folder / "models" / "smollm2-135m").mkdir(parents=True)
    (folder / "models" / "smollm2-135m" / "model.safetensors").write_bytes(bytes(2_000_000))


@pytest.fixture
def filled(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("imine_kernels.jit.sources_digest", lambda: "fedcba9876543210")
    make_cache(own_cache)
    return own_cache


def test_entries_have_their_facts(filled: Path) -> None:
    entries = {entry.path.name.rpartition("-")[0] or entry.path.name: entry for entry in cache_entries()}
    assert [entry.kind for entry in cache_entries()] == [
        "log_perplexity_alone",
        "loss",
        "kernels",
        "kernels",
        "models",
    ]
    assert entries["loss"].rows == 5
    assert entries["loss"].fingerprint["model"]["name"] == "tiny"
    assert entries["smollm2"].bytes == 2_000_000
    assert entries["fedcba9876543210"].current
    assert not entries["0123456789abcdef"].current


def test_reading_counts_as_use(filled: Path) -> None:
    for entry in cache_entries():
        for path in (entry.path, *entry.path.iterdir()):
            os.utime(path, (1e9, 1e9))
    ScoreStore("log_perplexity_alone", {"indicator": "log_perplexity_alone"}, pl.Float64).missing(["k0"])
    used = {entry.kind: entry.last_used.year for entry in cache_entries()}
    assert used["loss"] == 2001
    assert used["log_perplexity_alone"] > 2020


def test_the_command_shows_and_clears(filled: Path) -> None:
    run = CliRunner().invoke
    shown = run(app, ["cache"])
    assert shown.exit_code == 0, shown.output
    assert "5 rows" in shown.output
    assert "indicator loss, model.name tiny" in shown.output
    assert "in use  fedcba9876543210" in shown.output
    assert "2.0 MB" in shown.output
    assert shown.output == run(app, ["cache", "show"]).output
    refused = run(app, ["cache", "clear", "--kind", "loss"], input="n\n")
    assert refused.exit_code == 1
    assert "Remove 1 folders (loss)" in refused.output
    assert len(cache_entries()) == 5
    assert "1 folders removed" in run(app, ["cache", "clear", "--kind", "loss", "--yes"]).output
    assert "loss" not in {entry.kind for entry in cache_entries()}
    run(app, ["cache", "clear", "--yes"])
    assert [(entry.kind, entry.path.name) for entry in cache_entries()] == [
        ("kernels", "fedcba9876543210"),
        ("models", "smollm2-135m"),
    ]


def test_models_are_never_cleared_and_kinds_are_checked(filled: Path) -> None:
    clear_cache(cache_entries())
    assert {entry.kind for entry in cache_entries()} == {"kernels", "models"}
    refused = CliRunner().invoke(app, ["cache", "clear", "--kind", "models"])
    assert refused.exit_code != 0
    assert "nothing of this kind can be cleared; there is nothing to clear" in str(refused.exception)


def test_an_empty_cache_is_no_error(own_cache: Path) -> None:
    shown = CliRunner().invoke(app, ["cache"])
    assert shown.exit_code == 0
    assert shown.output.startswith("0 B in ")
