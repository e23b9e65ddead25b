"""The metric of an exported model."""

import pathlib
import types

import pytest

from daaf_tf.errors import UserError
from daaf_tf.serving.description import find_metric


def model(facts):
    return types.SimpleNamespace(path=pathlib.Path("S/1"), facts=facts)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_is_that_of_its_run(metric):
    assert find_metric(model({"config": {"eval": {"eval_metric": metric}}}), "--metric") == metric


@pytest.mark.parametrize(
    "facts",
    [{}, {"config": 3}, {"config": {"eval": {}}}, {"config": {"eval": {"eval_metric": "x"}}}],
)
def test_must_be_given_where_it_is_not_written_down(facts):
    with pytest.raises(UserError, match=r"S/1/assets.extra.*give --metric"):
        find_metric(model(facts), "--metric")
