"""Designs: which candidates are trained on in which run of a study.

``draw`` is the way in; one module a kind (``mixed``, ``levels``, ``univariate``, ``optimal``), ``repeats`` for other
seeds, ``guard`` against prompts of the evaluation sets, ``criterion`` for how sharp a design is.
"""

from __future__ import annotations
