"""A few hundred mutations; `python tests/data/fuzz_readers.py` tries 10,000."""

from __future__ import annotations

import pathlib
import random
import subprocess
import sys

import fuzz_readers
import pytest
from fuzz_readers import fuzz
from fuzz_targets import Target
from mutations import mutate

TESTS = pathlib.Path(__file__).resolve().parents[1]


def test_no_reader_crashes_or_reads_damaged_input_wrong(tmp_path):
    results = fuzz(tmp_path, mutations=550, seed=2)
    assert [failure for result in results.values() for failure in result.failures] == []
    assert len(results) == 11
    for result in results.values():
        assert result.refused > 0
        assert result.refused + result.taken + result.unchanged == 50


def test_fuzzing_finds_a_reader_that_does_not_check(tmp_path, monkeypatch):
    monkeypatch.setattr("daaf_tf.data.records.open_frame", lambda frame, length: frame[12:-4])
    results = fuzz(tmp_path, mutations=110, seed=1)
    assert results["shard"].failures
    assert "other records than were written" in results["shard"].failures[0]
    assert not results["manifest"].failures


def test_mutation_is_a_function_of_its_name():
    one, two, three = (
        [mutate(bytes(range(256)), [b"abc"], random.Random(f"{seed}/{n}")) for n in range(50)]
        for seed in (1, 1, 2)
    )
    assert one == two != three
    assert len(set(one)) > 45


def test_every_mutation_stays_within_bounds_on_empty_input():
    for number in range(200):
        assert len(mutate(b"", [b""], random.Random(number))) <= 4 * 200


def test_failure_names_its_mutation(tmp_path, monkeypatch):
    def crash(data):
        raise ZeroDivisionError("crash")

    target = Target([b"input"], crash)
    monkeypatch.setattr(fuzz_readers, "make_targets", lambda folder: {"one": target})
    results = fuzz(tmp_path, mutations=2, seed=7)
    assert results["one"].failures[-1] == "7/one/1: ZeroDivisionError: crash"


@pytest.mark.parametrize("program", ["data/fuzz_readers.py", "serving/fuzz_requests.py"])
def test_the_programs_find_what_they_import(program):
    done = subprocess.run(
        [sys.executable, TESTS / program, "--help"], capture_output=True, check=False, text=True
    )
    assert (done.returncode, "--mutations" in done.stdout) == (0, True), done.stderr
