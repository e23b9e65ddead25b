"""tensorflow-addons: one module imports it, when it is asked for, without a word."""

import importlib.util
import os
import subprocess
import sys

import pytest
from source_imports import ROOT, foreign_imports, modules

LOAD = """
import daaf_tf.losses, daaf_tf.training.trainer
import sys
assert "tensorflow_addons" not in sys.modules
from daaf_tf.addons import load_addons
print(load_addons("--flag", instead="--other").__version__)
"""


def test_one_module_imports_it():
    importing = [
        module
        for module in modules()
        if any(name.split(".")[0] == "tensorflow_addons" for name in foreign_imports(module))
    ]
    assert importing == ["daaf_tf.addons"]


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow_addons") is None,
    reason="tensorflow-addons does not exist for this Python",
)
def test_it_is_imported_when_asked_for_and_quietly():
    done = subprocess.run(
        [sys.executable, "-W", "always::UserWarning", "-c", LOAD],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout.strip(), done.stderr) == ("0.23.0", "")
