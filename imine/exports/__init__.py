"""Mined rows in the files that training programs read."""

from __future__ import annotations

from imine.exports.exporting import FORMATS, About, Exported, check_export, default_path, export, files_of

__all__ = ["FORMATS", "About", "Exported", "check_export", "default_path", "export", "files_of"]
