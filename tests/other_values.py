"""For every setting a value that is allowed and is not the default."""

from daaf_tf.config import settings

# Where a neighbour of the default would not go together with the other settings.
CHOSEN = {
    "margin": "0.3",
    "erasing_min_area": 0.03,
    "resize_height": 300,
    "resize_width": 300,
    "milestones": (8000, 14000),
    "feature_map": (8, 4),
    "hab_channels": (1020, 2047),
    "pab_group_channels": "340",
    "mask_loss": "half_sum_squares",
    "data_dir": "a folder/records=1",
}
# What another value of a setting wants beside it, to go together with the rest.
BESIDE = {"head": {"identity_weight": 1.0}, "metric_loss": {"margin": "0.3"}}


def other_value(name):
    """Return an allowed value of a setting, in its own type, that is not the default."""
    field = settings()[name][1]
    default, choices = field.default, field.metadata["choices"]
    if name in CHOSEN:
        return CHOSEN[name]
    if isinstance(default, bool):
        return not default
    if choices:
        return next(choice for choice in choices if choice != default)
    if isinstance(default, str):
        return f"another {name}"
    if isinstance(default, int):
        return default + 1
    maximum = field.metadata["maximum"]
    return default + 1.5 if maximum is None else (default + maximum) / 2


def other_values():
    """Return {name: other value} of every setting; together they are a valid config."""
    return {name: other_value(name) for name in settings()}
