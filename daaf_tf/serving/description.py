"""What the export has written down beside a SavedModel."""

from __future__ import annotations

from daaf_tf.errors import UserError
from daaf_tf.sections.train import EvalConfig
from daaf_tf.serving.embedder import DESCRIPTION_FILE, Embedder


def find_metric(model: Embedder, flag: str) -> str:
    """Return the metric that the run of an exported model was evaluated by.

    Args:
      model: the exported model.
      flag: the one to give where this is not known.

    Raises:
      UserError: it is not written down.
    """
    try:
        return EvalConfig(eval_metric=model.facts["config"]["eval"]["eval_metric"]).eval_metric
    except (LookupError, TypeError, UserError) as error:
        raise UserError(
            f"{model.path / DESCRIPTION_FILE} does not say by which metric the model was "
            f"evaluated ({error!r}); give {flag}"
        ) from error
