"""What the benchmark programs share."""

import sys

import pytest

from daaf_tf.benchmarks import (
    find_bfloat16_instructions,
    format_table,
    read_peak_memory,
    run_program,
)
from daaf_tf.errors import UserError


def test_the_last_line_of_a_program_is_its_result():
    code = "print('on the way'); print('{\"figure\": 3}')"
    assert run_program([sys.executable, "-c", code]) == {"figure": 3}


def test_a_program_that_fails_is_quoted():
    code = "import sys; sys.exit('it is broken')"
    with pytest.raises(UserError, match=r"sys.exit.* failed:\nit is broken"):
        run_program([sys.executable, "-c", code])
    with pytest.raises(UserError, match="no/such/program: cannot be started"):
        run_program(["no/such/program"])


def test_a_table_has_median_least_and_most():
    rows = [("speed", [3, 1, 2], "x"), ("images", [1234.5], ""), ("left out", [], "")]
    assert format_table(rows)[2:] == [
        "| speed | 2.00 x | 1.00 x | 3.00 x |",
        "| images | 1,234 | 1,234 | 1,234 |",
        "| left out |  |  |  |",
    ]


def test_the_processors_instructions_are_read(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text(
        "model name\t: avx512_bf16 of course\nflags\t\t: fpu amx_bf16 sse\n\nflags\t: x\n"
    )
    assert find_bfloat16_instructions(str(path)) == ("amx_bf16",)
    assert find_bfloat16_instructions(str(tmp_path / "elsewhere")) is None


def test_memory_is_in_megabytes():
    before = read_peak_memory()
    held = bytearray(b"x" * 300_000_000)
    assert 10 < before < read_peak_memory() < 100_000
    assert len(held) == 300_000_000
