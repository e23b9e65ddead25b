"""What docs/search.md tells its reader to type exists, and its sums are right."""

import re

from source_imports import ROOT

from daaf_tf.search import ACTIONS
from daaf_tf.serving import nearest, threshold

TEXT = (ROOT / "docs/search.md").read_text(encoding="utf-8")


def defined(path):
    """Return the flags that a program defines."""
    return set(re.findall(r'DEFINE_\w+\(\s*"(\w+)"', (ROOT / path).read_text(encoding="utf-8")))


def test_every_flag_exists():
    known = defined("daaf_tf/search.py") | defined("tools/benchmark_search.py")
    assert set(re.findall(r"--(\w+)", TEXT)) - known == set()


def test_every_action_is_on_the_page():
    assert set(re.findall(r"^\| `(\w+)` \| [a-z]+s[ ;]", TEXT, re.MULTILINE)) - {"flat"} == set(
        ACTIONS
    )
    commands = re.findall(r"^python -m daaf_tf.search (\w+)", TEXT, re.MULTILINE)
    assert len(commands) == 3
    assert set(commands) <= set(ACTIONS)


def test_the_numbers_are_those_of_the_program():
    assert f"--nprobe={nearest.NPROBE}`" in TEXT
    assert f"--ef_search={nearest.EF_SEARCH}`" in TEXT
    assert f"needs {nearest.LEAST_FOR_IVFPQ:,} images" in TEXT
    assert f"at least {threshold.LEAST_FALSE_ACCEPTS} accepted pairs" in TEXT
    pairs = 250 * 249 / 2
    assert pairs * 1e-3 > threshold.LEAST_FALSE_ACCEPTS


def test_the_example_of_the_api_names_what_is_there():
    from daaf_tf.serving import Gallery, Hit

    for name in ("distance", "person_id", "camera_id", "path", "known", "id"):
        assert name in Hit.__dataclass_fields__
        assert f"`{name}`" in TEXT
    for name in ("threshold", "read_image", "search"):
        assert hasattr(Gallery, name)
