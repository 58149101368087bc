"""Write docs/indicators.md from the specs in imine/columns.

Run from anywhere: python tools/generate_indicator_docs.py
"""

from __future__ import annotations

from pathlib import Path

from imine.columns.catalogue import page

TARGET = Path(__file__).resolve().parents[1] / "docs" / "indicators.md"

if __name__ == "__main__":
    TARGET.write_text(page(), encoding="utf-8")
    print(f"wrote {TARGET}")
