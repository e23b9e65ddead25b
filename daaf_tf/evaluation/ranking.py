"""How the gallery is ranked, and the ranking of an embedded data set."""

from __future__ import annotations

import dataclasses
from typing import Callable

import numpy as np
import tqdm

from daaf_tf import schema
from daaf_tf.errors import UserError
from daaf_tf.evaluation.evaluated import EmbeddedSet, EvaluatedSet
from daaf_tf.retrieval import (
    Reranker,
    RetrievalResult,
    SingleShot,
    average_multi_query,
    evaluate,
    evaluate_blocks,
    expand_queries,
)
from daaf_tf.retrieval.distances import (
    check_features,
    compute_checked_distances,
    normalize_rows,
)
from daaf_tf.settings import Section, setting

COSINE = "cosine"


@dataclasses.dataclass(frozen=True)
class Ranking(Section):
    """How the gallery is ranked for a query, beside the metric."""

    rerank: bool = setting(False, "Re-rank by k-reciprocal neighbours (Zhong et al., 2017).")
    k1: int = setting(20, "With --rerank: neighbours that are looked at.", minimum=1)
    k2: int = setting(6, "With --rerank: neighbours that are averaged; 1: none.", minimum=1)
    lambda_value: float = setting(
        0.3, "With --rerank: share of the original distance.", minimum=0, maximum=1
    )
    query_expansion: int = setting(
        0,
        "Average each query with so many of its nearest gallery images (AQE), under the cosine "
        "metric; 0: none.",
        minimum=0,
    )
    multi_query: bool = setting(
        False,
        "Average each query over all images of its person by its camera, those of the split "
        "multi_query (Market-1501: gt_bbox).",
    )
    single_shot: int = setting(
        0,
        "CMC by CUHK03's old protocol, a gallery with one image of each person, the mean over so "
        "many draws (usually 10); 0: by the usual protocol.",
        minimum=0,
    )
    block_size: int = setting(
        0,
        "Queries whose distances are held at a time; 0: as many as make 512 MB. The figures do "
        "not depend on it.",
        minimum=0,
    )

    def check_metric(self, metric: str) -> None:
        """Raise a UserError if what is done to the queries makes no sense under a metric."""
        if self.query_expansion and metric != COSINE:
            raise UserError(
                f"--query_expansion with --eval_metric={metric}: it averages directions, whose "
                f"distance is the cosine; give --eval_metric={COSINE}"
            )

    def splits(self) -> tuple[str, ...]:
        """Return the splits whose features are needed."""
        further = (schema.MULTI_QUERY,) if self.multi_query else ()
        return (schema.QUERY, schema.GALLERY, *further)

    def describe(self) -> str:
        """Return what is done, for people."""
        parts = ["multiple query" if self.multi_query else "single query"]
        if self.query_expansion:
            parts.append(f"expanded by {self.query_expansion}")
        if self.single_shot:
            parts.append(f"CMC of single gallery shots, {self.single_shot} draws")
        parameters = f"k1={self.k1}, k2={self.k2}, lambda={self.lambda_value:g}"
        parts.append(f"re-ranked ({parameters})" if self.rerank else "not re-ranked")
        return ", ".join(parts)


def rank(embedded: EmbeddedSet, ranking: Ranking, *, progress: bool = True) -> EvaluatedSet:
    """Rank the gallery of a data set for each of its queries by the Market-1501 protocol.

    The distances are never whole in memory.

    Args:
      embedded: the data set; its metric must be known.
      ranking: how it is ranked.
      progress: show a progress bar.

    Raises:
      UserError: features that the metric does not allow, no multi_query where it is asked for,
        query expansion under the Euclidean metric, or no query that has a match.
    """
    metric = embedded.embedded.metric
    ranking.check_metric(metric)
    query, gallery = _improve_queries(embedded, ranking), embedded.gallery.features
    people = {
        "query_ids": embedded.query.person_ids,
        "gallery_ids": embedded.gallery.person_ids,
        "query_cameras": embedded.query.camera_ids,
        "gallery_cameras": embedded.gallery.camera_ids,
        "single_shot": SingleShot(ranking.single_shot) if ranking.single_shot else None,
    }
    bar = tqdm.tqdm(total=len(query), desc="rank", unit="query", disable=not progress, leave=False)
    with bar:
        score = _rerank_and_score if ranking.rerank else _score
        result, compute = score(query, gallery, metric, ranking, people, bar)
    shared = {
        field.name: getattr(embedded, field.name) for field in dataclasses.fields(EmbeddedSet)
    }
    return EvaluatedSet(**shared, result=result, compute_distances=compute)


_Scored = tuple[RetrievalResult, Callable[[np.ndarray], np.ndarray]]


def _score(query, gallery, metric: str, ranking: Ranking, people: dict, bar: tqdm.tqdm) -> _Scored:
    block_size = ranking.block_size or None
    result = evaluate(
        query, gallery, **people, metric=metric, block_size=block_size, progress=bar.update
    )
    query, gallery = check_features(query, gallery, metric=metric)

    def compute(queries: np.ndarray) -> np.ndarray:
        return compute_checked_distances(query[queries], gallery, metric=metric)

    return result, compute


def _rerank_and_score(
    query, gallery, metric: str, ranking: Ranking, people: dict, bar: tqdm.tqdm
) -> _Scored:
    if metric == COSINE:
        query = normalize_rows("query_features", query)
        gallery = normalize_rows("gallery_features", gallery)
    reranker = Reranker(
        query, gallery, k1=ranking.k1, k2=ranking.k2, lambda_value=ranking.lambda_value
    )

    def blocks():
        for block in reranker.compute_blocks(ranking.block_size or None):
            bar.update(len(block))
            yield block

    return evaluate_blocks(blocks(), **people), reranker.compute_distances


def _improve_queries(embedded: EmbeddedSet, ranking: Ranking) -> np.ndarray:
    """Return the features of the queries, averaged and expanded where that is asked for."""
    query, gallery, splits = embedded.query, embedded.gallery, embedded.embedded.splits
    features = query.features
    if ranking.multi_query:
        if schema.MULTI_QUERY not in splits:
            raise UserError("--multi_query: there are no features of the split multi_query")
        multi = splits[schema.MULTI_QUERY]
        features = average_multi_query(
            features,
            multi.features,
            query_ids=query.person_ids,
            multi_ids=multi.person_ids,
            query_cameras=query.camera_ids,
            multi_cameras=multi.camera_ids,
        )
    if ranking.query_expansion:
        count = ranking.query_expansion
        features = expand_queries(features, gallery.features, num_neighbours=count)
    return features
