"""The floors of the house: who may import whom, and what nobody may."""

import graphlib
import re
import subprocess
import sys

import pytest
from source_imports import (
    ROOT,
    foreign_imports,
    imported_names,
    imports,
    modules,
    own_imports,
    reachable,
)

# Lowest first. A module imports from the same part of the package or from parts further down; the
# parts of one floor do not know each other.
FLOORS = (
    ("errors", "files", "programs", "protos", "schema"),
    ("addons", "benchmarks", "clients", "imports", "overlays", "settings"),
    ("sections",),
    ("config",),
    ("data", "losses", "model", "retrieval"),
    ("report", "serving", "training"),
    ("evaluation",),
    ("flags",),
    ("demo", "evaluate", "export", "search", "train"),
)
FLOOR = {part: number for number, parts in enumerate(FLOORS) for part in parts}
TEXT_SUFFIXES = {".py", ".md", ".flags", ".toml", ".cfg", ".txt", ".yml", ""}
TEXT_PLACES = ("daaf_tf", "tools", "tests", "configs", ".ci", "docs")


def part(module):
    """Return the part of the package that a module belongs to; "" for the package's own file."""
    return module.split(".")[1] if "." in module else ""


def library():
    return [name for name in modules() if name.split(".")[0] == "daaf_tf"]


def tools():
    return [name for name in modules() if name.split(".")[0] == "tools"]


def texts():
    """Return the paths of all text files of the project."""
    paths = list(ROOT.iterdir()) + [p for name in TEXT_PLACES for p in (ROOT / name).rglob("*")]
    return [
        path
        for path in paths
        if path.is_file() and path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
    ]


def test_every_part_has_a_floor():
    assert {part(module) for module in library()} - {""} == set(FLOOR)


def goes_down(module, imported):
    """Tell whether the floors allow an import; a package's own file is its lowest floor."""
    lower, upper = part(imported), part(module)
    return lower in ("", upper) or (upper and FLOOR[lower] < FLOOR[upper])


def test_imports_go_down():
    wrong = [
        f"{module} imports {imported}"
        for module in library()
        for imported in sorted(own_imports(module))
        if not goes_down(module, imported)
    ]
    assert not wrong, "only lower floors are allowed, see FLOORS"


def test_no_import_cycles():
    graph = {module: own_imports(module) - {module} for module in modules()}
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError, naming the cycle


def test_flags_know_only_the_settings():
    assert {part(name) for name in own_imports("daaf_tf.flags")} <= {"config", "errors", "settings"}


def test_only_flags_touches_absl_flags():
    touching = {
        module
        for module in modules()
        for source, name in imported_names(module)
        if f"{source}.{name}".startswith(("absl.flags", "absl.app"))
    }
    assert touching == {"daaf_tf.flags"}, "programs take what they need from daaf_tf.flags"


@pytest.mark.parametrize(
    "part_name", ["clients", "retrieval", "report", "flags", "config", "schema"]
)
def test_needs_no_tensorflow(part_name):
    importing = [
        name
        for name in reachable(f"daaf_tf.{part_name}")
        if any(foreign.split(".")[0] == "tensorflow" for foreign in foreign_imports(name))
    ]
    assert not importing


@pytest.mark.parametrize(
    "module",
    [
        *("daaf_tf", "daaf_tf.clients", "daaf_tf.retrieval", "daaf_tf.report"),
        *("daaf_tf.flags", "daaf_tf.evaluate"),
    ],
)
def test_imports_where_tensorflow_is_missing(module):
    # None in sys.modules makes every attempt to import it fail.
    code = f"import sys; sys.modules['tensorflow'] = None; import {module}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_keras_is_always_that_of_tensorflow():
    wrong = [
        f"{module} imports {name}"
        for module in modules()
        for name in foreign_imports(module)
        if name.split(".")[0] in ("keras", "tf_keras", "keras_core")
    ]
    assert not wrong, "write tf.keras: daaf_tf/__init__.py decides which Keras that is"


def test_keras_cv_waits_until_it_is_asked_for():
    importing = {
        name
        for name in library()
        if any(foreign.split(".")[0] == "keras_cv" for foreign in foreign_imports(name))
    }
    assert importing == {"daaf_tf.imports"}, "call daaf_tf.imports.import_keras_cv()"


def test_tools_stand_on_the_package():
    wrong = [
        f"{module} imports {name}"
        for module in tools()
        for name in imports(module)
        if name.split(".")[0] == "tensorflow"
        or (name.startswith("tools.") and name != "tools.bootstrap")
    ]
    assert not wrong, "shared code and what needs TensorFlow belong into daaf_tf"


def test_private_names_stay_private():
    wrong = [
        f"{module} imports {source}.{name}"
        for module in modules()
        for source, name in imported_names(module)
        if name and name.startswith("_") and not name.startswith("__")
    ]
    assert not wrong


def test_no_tensorflow_1():
    old = "compat" + ".v1"
    assert [str(path) for path in texts() if old in path.read_text(encoding="utf-8")] == []


def test_no_machine_paths():
    places = re.compile(r"""(?<![\w./}>-])/(?:work|tmp|root|home|Users)/|pypi\.(?:org)|/(?:opt)/""")
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if places.search(line)
    ]
    assert not found
