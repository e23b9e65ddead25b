"""Scoring of retrieval: numpy only, usable on anybody's features and without TensorFlow."""

from __future__ import annotations

from daaf_tf.retrieval.cameras import CameraPairs, score_camera_pairs
from daaf_tf.retrieval.distances import compute_distances
from daaf_tf.retrieval.feature_file import FeatureSet, read_features, write_features
from daaf_tf.retrieval.features import Features, rank_features
from daaf_tf.retrieval.histograms import compute_colour_histograms
from daaf_tf.retrieval.hits import Hit, find_hits
from daaf_tf.retrieval.metrics import (
    evaluate,
    evaluate_blocks,
    evaluate_distances,
    rank_gallery,
)
from daaf_tf.retrieval.pictures import RankedRow, draw_ranked_results, make_ranked_row
from daaf_tf.retrieval.queries import average_multi_query, expand_queries
from daaf_tf.retrieval.rerank import Reranker, rerank, rerank_blocks
from daaf_tf.retrieval.scoring import RetrievalResult, SingleShot

__all__ = [
    "CameraPairs",
    "FeatureSet",
    "Features",
    "Hit",
    "RankedRow",
    "Reranker",
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
    "find_hits",
    "make_ranked_row",
    "rank_features",
    "rank_gallery",
    "read_features",
    "rerank",
    "rerank_blocks",
    "score_camera_pairs",
    "write_features",
]
