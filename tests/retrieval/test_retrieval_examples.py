"""The examples in the docstrings of the public API, and on its page, are true."""

from __future__ import annotations

import doctest
import importlib
import pathlib

import numpy as np
import pytest

from daaf_tf import retrieval

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "retrieval.md"
EXAMPLES = {
    "Reranker",
    "average_multi_query",
    "compute_distances",
    "evaluate",
    "evaluate_blocks",
    "evaluate_distances",
    "expand_queries",
    "rank_gallery",
    "rerank",
}


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_docstrings(name):
    function = getattr(retrieval, name)
    names = vars(importlib.import_module(function.__module__))
    examples = doctest.DocTestFinder(recurse=False).find(function, name, globs={**names, "np": np})
    outcome = doctest.DocTestRunner().run(examples[0])
    assert outcome.attempted >= 1
    assert outcome.failed == 0


def test_page():
    outcome = doctest.testfile(str(PAGE), module_relative=False)
    assert outcome.attempted >= 10
    assert outcome.failed == 0


def test_every_public_name_is_on_the_page_or_is_about_pictures():
    text = PAGE.read_text(encoding="utf-8")
    pictures = {"RankedRow", "draw_ranked_results", "make_ranked_row", "compute_colour_histograms"}
    assert [name for name in retrieval.__all__ if name not in text and name not in pictures] == []
