from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

from imine.errors import ModelNotFoundError
from imine.indicators.models import EMBEDDED, model_path

# Threads of OpenMP spin while they wait, and on a busy machine keep each other from working: tiny models suffer most.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
# A busy machine is no fault of the code.
hypothesis.settings.register_profile("imine", deadline=None)
hypothesis.settings.load_profile("imine")


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import save_llama

    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tests.tiny import save_encoder

    return save_encoder(tmp_path_factory.mktemp("encoder"))


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache folder: no scores of earlier runs, and no models."""
    monkeypatch.setenv("IMINE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def embedded_models() -> None:
    for name in EMBEDDED:
        try:
            model_path(name)
        except ModelNotFoundError as error:
            pytest.skip(str(error))
