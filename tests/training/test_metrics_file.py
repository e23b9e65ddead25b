"""metrics.jsonl of a run that was killed: no step twice, no torn line."""

import json

import pytest

from daaf_tf.errors import UserError
from daaf_tf.training.metrics_file import append_figures, forget_after, has_figures


def test_a_resumed_run_drops_what_it_will_write_again_and_torn_lines(tmp_path):
    for step in (0, 10, 20, 30):
        append_figures(str(tmp_path), step, {"mAP": step / 2})
    path = tmp_path / "metrics.jsonl"
    whole = path.read_text().splitlines(keepends=True)
    path.write_text("".join(whole) + whole[3][:9])
    forget_after(str(tmp_path), 20)
    assert path.read_text() == "".join(whole[:3])
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [0, 10, 20]
    assert [path.name for path in tmp_path.iterdir()] == ["metrics.jsonl"]


def test_a_line_without_its_end_is_no_line(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 5, "mAP": 1.0}')
    assert not has_figures(str(tmp_path), 5)
    forget_after(str(tmp_path), 5)
    append_figures(str(tmp_path), 5, {"mAP": 2.0})
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 5, "mAP": 2.0}\n'
    assert has_figures(str(tmp_path), 5)


def test_garbage_is_dropped(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'\xff\x00\n[1]\n{"step": "x"}\n{"step": 3}\n')
    forget_after(str(tmp_path), 9)
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 3}\n'


def test_a_run_without_figures_has_none(tmp_path):
    forget_after(str(tmp_path), 9)
    assert not has_figures(str(tmp_path), 0)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    with pytest.raises(UserError, match=r"metrics.jsonl cannot be written"):
        append_figures(str(tmp_path / "nowhere"), 1, {})
