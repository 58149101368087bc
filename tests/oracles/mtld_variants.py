"""Write tests/oracles/mtld_variants.json: what the package lexical-diversity 0.1.1 gives for made texts.

Run with that package importable (its build wants setuptools < 81): python tests/oracles/mtld_variants.py
"""

from __future__ import annotations

import json
import random
from pathlib import Path

TARGET = Path(__file__).with_suffix(".json")


def made_texts() -> list[list[str]]:
    """Texts of 10 to 400 words whose words recur as in language; the same in every Python from 3.11 on."""
    draw = random.Random(20)
    texts = []
    for _ in range(60):
        types = draw.randint(5, 300)
        weights = [1 / rank for rank in range(1, types + 1)]
        texts.append([f"w{k}" for k in draw.choices(range(types), weights, k=draw.randint(10, 400))])
    return texts


if __name__ == "__main__":
    from lexical_diversity import lex_div

    measures = {"mtld_lexical_diversity": lex_div.mtld, "mtld_ma_bid": lex_div.mtld_ma_bid}
    measures["mtld_ma_wrap"] = lex_div.mtld_ma_wrap
    texts = made_texts()
    found = {name: [measure(words) for words in texts] for name, measure in measures.items()}
    TARGET.write_text(json.dumps(found, indent=1) + "\n")
    print(f"wrote {TARGET}")
