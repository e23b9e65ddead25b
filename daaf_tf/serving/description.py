"""What the export has written down beside a SavedModel."""

from __future__ import annotations

import json
import os
import pathlib

from daaf_tf.errors import UserError
from daaf_tf.retrieval.distances import METRICS

# As serving.export writes it; that module imports TensorFlow.
_FILE = "assets.extra/daaf_tf.json"


def choose_metric(folder: str | os.PathLike) -> str:
    """Return the metric that the run of a SavedModel was evaluated by.

    Args:
      folder: the version folder, e.g. S/1.

    Raises:
      UserError: it is not written down.
    """
    path = pathlib.Path(folder, _FILE)
    try:
        metric = json.loads(path.read_text(encoding="utf-8"))["config"]["eval"]["eval_metric"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{path} does not say by which metric the model was evaluated ({error!r}); give "
            f"--metric={' or --metric='.join(METRICS)}"
        ) from error
    if metric not in METRICS:
        raise UserError(f"{path}: eval_metric {metric!r}, expected {' or '.join(METRICS)}")
    return metric
