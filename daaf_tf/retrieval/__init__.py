"""Scoring of retrieval: numpy only, usable on anybody's features and without TensorFlow."""

from __future__ import annotations

from daaf_tf.retrieval.distances import compute_distances
from daaf_tf.retrieval.features import Features, rank_features
from daaf_tf.retrieval.histograms import compute_colour_histograms
from daaf_tf.retrieval.metrics import (
    evaluate,
    evaluate_blocks,
    evaluate_distances,
    rank_gallery,
)
from daaf_tf.retrieval.pictures import RankedRow, draw_ranked_results, make_ranked_row
from daaf_tf.retrieval.queries import average_multi_query, expand_queries
from daaf_tf.retrieval.rerank import rerank, rerank_blocks
from daaf_tf.retrieval.scoring import RetrievalResult, SingleShot

__all__ = [
    "Features",
    "RankedRow",
    "RetrievalResult",
    "SingleShot",
    "average_multi_query",
    "compute_colour_histograms",
    "compute_distances",
    "draw_ranked_results",
    "evaluate",
    "evaluate_blocks",
    "evaluate_distances",
    "expand_queries",
    "make_ranked_row",
    "rank_features",
    "rank_gallery",
    "rerank",
    "rerank_blocks",
]
