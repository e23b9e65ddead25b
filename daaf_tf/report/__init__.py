"""A report that one looks at: one HTML page, and the same for TensorBoard; needs no TensorFlow."""

from __future__ import annotations

from daaf_tf.report.contents import AttentionSample, Figure, ReadImage
from daaf_tf.report.sheets import draw_sheets
from daaf_tf.report.tensorboard import write_tensorboard
from daaf_tf.report.writer import make_report_folder, write_report

__all__ = [
    "AttentionSample",
    "Figure",
    "ReadImage",
    "draw_sheets",
    "make_report_folder",
    "write_report",
    "write_tensorboard",
]
