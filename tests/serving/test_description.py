"""The metric that a SavedModel says it was evaluated by."""

from __future__ import annotations

import json

import pytest

from daaf_tf.config import Config, to_json
from daaf_tf.errors import UserError
from daaf_tf.serving.description import choose_metric


def write(folder, text):
    path = folder / "assets.extra" / "daaf_tf.json"
    path.parent.mkdir()
    path.write_text(text)


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_it_is_that_of_the_run(tmp_path, metric):
    config = json.loads(to_json(Config().replace(eval_metric=metric)))
    write(tmp_path, json.dumps({"config": config}))
    assert choose_metric(tmp_path) == metric


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"config": {"eval": null}}'])
def test_where_it_is_not_written_down_the_flag_is_asked_for(tmp_path, text):
    if text is not None:
        write(tmp_path, text)
    with pytest.raises(UserError, match="give --metric=euclidean or --metric=cosine"):
        choose_metric(tmp_path)


def test_a_metric_that_is_none(tmp_path):
    write(tmp_path, '{"config": {"eval": {"eval_metric": "hamming"}}}')
    with pytest.raises(UserError, match="eval_metric 'hamming', expected euclidean or cosine"):
        choose_metric(tmp_path)
