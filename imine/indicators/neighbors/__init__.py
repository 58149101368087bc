"""Nearest neighbours among sentence embeddings: exact or by a library, and groups of near-duplicates."""

from __future__ import annotations

from imine.indicators.neighbors.approximate import METHODS, Recall, measure_recall, require_search
from imine.indicators.neighbors.duplicates import near_duplicate_groups
from imine.indicators.neighbors.exact import Neighbors, knn_distance, nearest_exact
from imine.indicators.neighbors.reference import ReferenceSet
from imine.indicators.neighbors.search import find_neighbors, neighbor_fingerprint

__all__ = [
    "METHODS",
    "Neighbors",
    "Recall",
    "ReferenceSet",
    "find_neighbors",
    "knn_distance",
    "measure_recall",
    "near_duplicate_groups",
    "nearest_exact",
    "neighbor_fingerprint",
    "require_search",
]
