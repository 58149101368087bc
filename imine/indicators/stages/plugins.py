"""The stage ``plugins``: indicators of one's own."""

from __future__ import annotations

from typing import Any

import polars as pl

from imine.indicators.settings import ScoreSettings
from imine.indicators.stages.stage import Column, Stage
from imine.progress import Progress
from imine.records import content_keys


def _run(
    records: pl.DataFrame, names: list[str], settings: ScoreSettings, progress: Progress
) -> dict[str, Column]:
    from imine.indicators.plugins import PLUGINS, run_plugin

    columns = {}
    for name in names:
        plugin = PLUGINS[name]
        if plugin.keep and settings.cache:
            values = _kept(name, records, settings, progress)
        else:
            values = run_plugin(plugin, records)
        columns[name] = (values, _plan(name, settings))
    return columns


def _kept(name: str, records: pl.DataFrame, settings: ScoreSettings, progress: Progress) -> pl.DataFrame:
    from imine.indicators.cache import ScoreStore
    from imine.indicators.plugins import PLUGINS, run_plugin

    plugin, keys = PLUGINS[name], content_keys(records)
    store = ScoreStore(f"plugin_{name}", _plan(name, settings), getattr(pl, plugin.spec.dtype))
    if missing := store.missing(keys, progress):
        with store:
            for i, (value, why) in zip(
                missing, run_plugin(plugin, records[missing]).iter_rows(), strict=True
            ):
                store.add(keys[i], value, why)
    return store.column(keys)


def _plan(name: str, _: ScoreSettings) -> dict[str, Any]:
    from imine.indicators.plugins import PLUGINS, plugin_fingerprint

    return plugin_fingerprint(PLUGINS[name])


STAGE = Stage("plugins", _run, _plan)
