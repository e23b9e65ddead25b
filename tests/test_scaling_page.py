"""What docs/scaling.md tells its reader to type exists, and its sums are right."""

import re

from source_imports import ROOT

from daaf_tf.config import Config, settings
from daaf_tf.training.strategy import check_shares

TEXT = (ROOT / "docs/scaling.md").read_text(encoding="utf-8")


def defined(program):
    """Return the flags that a tool defines beside the settings."""
    source = (ROOT / f"tools/{program}.py").read_text(encoding="utf-8")
    return set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', source))


def test_every_flag_exists():
    mentioned = set(re.findall(r"--(\w+)", TEXT))
    known = set(settings()) | {"flagfile", "model_dir"}
    for program in ("benchmark_training", "benchmark_data"):
        assert f"tools/{program}.py" in TEXT
        known |= defined(program)
    assert mentioned - known == set()


def test_the_commands_share_the_batch_among_eight_gpus():
    batches = [int(value) for value in re.findall(r"--identities_per_batch=(\d+)", TEXT)]
    assert len(batches) >= 4
    for identities in batches:
        check_shares(Config().replace(identities_per_batch=identities), 8)


def test_the_larger_batch_follows_the_pages_own_rules():
    (command,) = re.findall(r"--identities_per_batch=64 (--learning_rate.*?)\n```", TEXT, re.DOTALL)
    found = dict(re.findall(r"--(\w+)=(\S+)", command))
    factor = 4  # of the batch before it, 16 x 4
    recipe = Config()
    for name in ("total_steps", "decay_start_step", "decay_steps", "checkpoint_every"):
        _, field = settings()[name]
        assert int(found[name]) * factor == field.default
    assert float(found["learning_rate"]) == recipe.optimizer.learning_rate * factor**0.5
