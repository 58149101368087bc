"""The search for a subset size: how many of the best rows to finetune on."""

from __future__ import annotations

from imine.search.config import SearchConfig, SearchPlan, SearchSettings, load_search, make_plan
from imine.search.result import Arms, Estimate, SizePoint, SizeSearch
from imine.search.run import run_search, search_sizes
from imine.search.shape import Shape, judge_shape
from imine.search.sizes import size_lattice
from imine.search.strategies import STRATEGIES, Space, Strategy, Told, make_strategy

__all__ = [
    "STRATEGIES",
    "Arms",
    "Estimate",
    "SearchConfig",
    "SearchPlan",
    "SearchSettings",
    "Shape",
    "SizePoint",
    "SizeSearch",
    "Space",
    "Strategy",
    "Told",
    "judge_shape",
    "load_search",
    "make_plan",
    "make_strategy",
    "run_search",
    "search_sizes",
    "size_lattice",
]
