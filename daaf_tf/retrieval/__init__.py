"""Scoring of retrieval: numpy only, usable on anybody's features and without TensorFlow."""

from __future__ import annotations

from daaf_tf.retrieval.distances import compute_distances
from daaf_tf.retrieval.histograms import compute_colour_histograms
from daaf_tf.retrieval.metrics import (
    RetrievalResult,
    evaluate,
    evaluate_distances,
    rank_gallery,
)
from daaf_tf.retrieval.pictures import RankedRow, draw_ranked_results, make_ranked_row

__all__ = [
    "RankedRow",
    "RetrievalResult",
    "compute_colour_histograms",
    "compute_distances",
    "draw_ranked_results",
    "evaluate",
    "evaluate_distances",
    "make_ranked_row",
    "rank_gallery",
]
