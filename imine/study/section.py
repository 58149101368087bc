"""What every section of a study file is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A section: its keys cannot change, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
