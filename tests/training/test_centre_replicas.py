"""The centres of two replicas are those of one: the whole program in a process of its own."""

from __future__ import annotations

import pathlib

from reporting_program import read_report

PROGRAM = pathlib.Path(__file__).with_name("centre_replicas_program.py")


def test_two_replicas_move_the_centres_as_one_device_does():
    report = read_report(PROGRAM)
    assert len(report["difference"]) == 3
    assert all(value < 1e-5 for value in report["difference"].values()), report["difference"]
    # The centre of the identity that no batch holds stays, the others move.
    still = report["moved"].pop(2)
    assert still == 0
    assert min(report["moved"]) > 0.1
