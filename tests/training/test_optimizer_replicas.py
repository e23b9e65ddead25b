"""Averages, clipping and the optional losses: two replicas compute what one does."""

from __future__ import annotations

import importlib.util
import pathlib

from reporting_program import read_report

PROGRAM = pathlib.Path(__file__).with_name("replicas_program.py")


def test_two_replicas_equal_one():
    addons = ["addons"] if importlib.util.find_spec("tensorflow_addons") else []
    report = read_report(PROGRAM, *addons)
    assert len(report) == (4 if addons else 2)
    for name, differences in report.items():
        assert differences["weights"] < 1e-5, name
        assert differences["averages"] < 1e-5, name
        # Were it without effect, it would prove nothing.
        assert differences["effect"] > 1e-3, name
