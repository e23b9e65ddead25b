"""setup.py: what is installed for which Python, and what an import shows and chooses."""

import importlib.metadata
import importlib.util
import os
import pathlib
import runpy
import subprocess
import sys
import sysconfig

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from source_imports import ROOT, foreign_imports, modules

import daaf_tf

PYTHONS = ("3.9", "3.10", "3.11", "3.12", "3.13")
OLD, NEW = PYTHONS[:3], PYTHONS[3:]

# Packages whose import has another name than their distribution.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "absl": "absl-py",
    "faiss": "faiss-cpu",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
}

CHOOSE = """
import importlib.metadata, os, sys, types

def version(name):
    if name != {distribution!r}:
        raise importlib.metadata.PackageNotFoundError
    return {version!r}

importlib.metadata.version = version
if {imported}:
    sys.modules["tensorflow"] = types.ModuleType("tensorflow")
import daaf_tf
print(os.environ.get("TF_USE_LEGACY_KERAS"))
"""
USE_KERAS = """
import daaf_tf.data, daaf_tf.losses, daaf_tf.model, daaf_tf.retrieval, daaf_tf.serving
import daaf_tf.training
import tensorflow as tf

inputs = tf.keras.Input([4])
tf.keras.Model(inputs, tf.keras.layers.Dense(1)(inputs))(tf.zeros([2, 4]))
print(tf.keras.Model.__module__)
"""


@pytest.fixture(scope="module")
def arguments():
    """What setup.py tells setuptools."""
    told = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr(setuptools, "setup", told.update)
        runpy.run_path(str(ROOT / "setup.py"))
    return told


def requirements(arguments, python, extra=None):
    """Return {distribution: specifier} for a Python; a name that comes twice is a mistake."""
    texts = arguments["extras_require"][extra] if extra else arguments["install_requires"]
    wanted = [Requirement(text) for text in texts]
    applying = [r for r in wanted if not r.marker or r.marker.evaluate({"python_version": python})]
    names = [canonicalize_name(requirement.name) for requirement in applying]
    assert len(names) == len(set(names))
    return dict(zip(names, (str(requirement.specifier) for requirement in applying)))


def is_pythons_own(name):
    """Tell whether a top-level module comes with Python itself."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin in ("built-in", "frozen"):
        return spec is not None
    origin = pathlib.Path(spec.origin or next(iter(spec.submodule_search_locations)))
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    return library in origin.parents and "site-packages" not in origin.parts


def run(code, **variables):
    """Run Python code in a fresh process, with none of TensorFlow's variables but the given."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TF_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**inherited, **variables},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip(), done.stderr.strip()


def test_version_is_that_of_the_package(arguments):
    assert arguments["version"] == daaf_tf.__version__ == importlib.metadata.version("daaf_tf")


def test_same_pythons_as_the_bootstrap(arguments):
    bootstrap = runpy.run_path(str(ROOT / "tools" / "bootstrap.py"))
    (_, oldest), (_, newest) = bootstrap["OLDEST"], bootstrap["NEWEST"]
    assert arguments["python_requires"] == f">=3.{oldest},<3.{newest + 1}"
    assert [f"3.{minor}" for minor in range(oldest, newest + 1)] == list(PYTHONS)


@pytest.mark.parametrize("python", OLD)
def test_old_pythons_get_tensorflow_with_its_own_keras(arguments, python):
    wanted = requirements(arguments, python)
    assert wanted["tensorflow"] == "==2.15.1"
    assert wanted["tensorflow-addons"] == "==0.23.0"
    assert "tf-keras" not in wanted


@pytest.mark.parametrize("python", NEW)
def test_new_pythons_get_tensorflow_with_tf_keras(arguments, python):
    wanted = requirements(arguments, python)
    assert wanted["tensorflow"] == wanted["tf-keras"]
    assert "tensorflow-addons" not in wanted


@pytest.mark.parametrize("python", PYTHONS)
def test_gpu_extra_is_of_the_same_tensorflow(arguments, python):
    wanted = requirements(arguments, python)
    assert requirements(arguments, python, "gpu") == {"tensorflow": wanted["tensorflow"]}
    assert wanted["keras-cv"] == "==0.9.0"


def test_every_package_folder_is_installed(arguments):
    folders = {path.parent.relative_to(ROOT) for path in (ROOT / "daaf_tf").rglob("*.py")}
    assert set(arguments["packages"]) == {".".join(folder.parts) for folder in folders}


@pytest.mark.parametrize("python", PYTHONS)
def test_everything_imported_is_asked_for(arguments, python):
    """What is imported, beyond Python's own, is installed by us and not by chance."""
    extras = ("test", "beam", "coco", "demo", "search")
    asked = set(requirements(arguments, python)).union(
        *(requirements(arguments, python, extra) for extra in extras)
    )
    missing = set()
    # The peer of the benchmark runs in an environment of its own.
    ours = [module for module in modules() if module != "tools.benchmark_torch_loader"]
    for foreign in set().union(*(foreign_imports(module) for module in ours)):
        top = foreign.split(".")[0]
        key = next((key for key in DISTRIBUTIONS if (foreign + ".").startswith(key + ".")), top)
        if is_pythons_own(top):
            continue
        name = canonicalize_name(DISTRIBUTIONS.get(key, key))
        if name not in asked and not (name == "tensorflow-addons" and python in NEW):
            missing.add(name)
    assert not missing


def test_imports_and_first_model_are_silent_and_keras_2():
    code, printed, said = run(USE_KERAS)
    assert (code, said) == (0, "")
    # Keras 3 has no `engine`; Keras 2 has it inside TensorFlow's keras and inside tf_keras.
    assert ".src.engine." in printed
    assert len(printed.splitlines()) == 1


@pytest.mark.parametrize("distribution", ["tensorflow", "tensorflow-cpu"])
@pytest.mark.parametrize(
    ("version", "chosen"), [("2.15.1", "None"), ("2.16.2", "1"), ("2.21.0", "1"), ("3.0.0", "1")]
)
def test_keras_is_chosen_by_tensorflows_version(distribution, version, chosen):
    code = CHOOSE.format(distribution=distribution, version=version, imported=False)
    assert run(code) == (0, chosen, "")


def test_legacy_keras_is_never_asked_of_an_old_tensorflow():
    code = CHOOSE.format(distribution="tensorflow", version="2.15.1", imported=False)
    assert run(code, TF_USE_LEGACY_KERAS="1") == (0, "None", "")


def test_works_without_tensorflow():
    assert run(CHOOSE.format(distribution="", version="", imported=False)) == (0, "None", "")


def test_says_what_to_do_if_tensorflow_came_first():
    code, _, said = run(CHOOSE.format(distribution="tensorflow", version="2.21.0", imported=True))
    assert code == 1
    assert "import daaf_tf before tensorflow" in said.splitlines()[-1]


def test_tensorflow_may_come_first_with_the_right_keras():
    code = CHOOSE.format(distribution="tensorflow", version="2.21.0", imported=True)
    assert run(code, TF_USE_LEGACY_KERAS="1") == (0, "1", "")


def test_log_level_is_a_default():
    code = "import os, daaf_tf; print(os.environ['TF_CPP_MIN_LOG_LEVEL'])"
    assert run(code)[1] == "3"
    assert run(code, TF_CPP_MIN_LOG_LEVEL="0")[1] == "0"
