"""Two replicas compute what one does: the whole program in a process of its own."""

from __future__ import annotations

import pathlib

from reporting_program import read_report

PROGRAM = pathlib.Path(__file__).with_name("two_replicas_program.py")


def test_two_replicas_equal_one_device_on_the_global_batch():
    report = read_report(PROGRAM)
    assert report["losses"] < 1e-5
    assert report["gradients"] < 1e-5
    assert report["losses_in_scope"] < 1e-5
    assert report["weights"] < 1e-5
    assert len(report["logs"]) == 3
    assert all(difference < 1e-5 for difference in report["logs"].values()), report["logs"]
    # Local mining sees half of the persons: were it equal, the gather would prove nothing.
    assert report["local_losses"] > 1e-2
    assert report["local_weights"] > 1e-4
