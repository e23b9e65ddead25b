"""Whatever README tells its reader to run or to look at exists."""

import ast
import functools
import importlib
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from source_imports import ROOT, modules

TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = ("python", "python3")
# Programs that take other flags than ours.
WITH_ARGUMENTS = {"daaf_tf.search"}  # an action and images
PASSING_ON = ("tools.run_tests",)


def blocks(*languages):
    """Return the texts of the fenced blocks of some languages."""
    return re.findall(rf"^```(?:{'|'.join(languages)})\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def commands():
    """Return every command line of the shell blocks as a list of words, comments left out."""
    joined = "\n".join(blocks("bash", "sh")).replace("\\\n", " ")
    lines = [shlex.split(line, comments=True) for line in joined.splitlines()]
    return [words for words in lines if words]


def module_of(words):
    """Return the module that a `python ...` command runs, and its arguments."""
    if words[1] == "-m":
        return words[2], words[3:]
    return words[1].removesuffix(".py").replace("/", "."), words[2:]


@functools.cache
def help_of(module):
    """Return what a program says of all its flags."""
    way = ["-m", module] if module.startswith("daaf_tf") else [str(modules()[module])]
    done = subprocess.run(
        [sys.executable, *way, "--helpfull"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def ours():
    return [(words, *module_of(words)) for words in commands() if words[0] in PYTHON]


def test_the_main_job_is_shown():
    shown = {module for _, module, _ in ours()}
    assert shown >= {
        "tools.quickstart",
        "tools.run_tests",
        "tools.make_tfrecords",
        "daaf_tf.train",
        "daaf_tf.evaluate",
        "daaf_tf.export",
    }


def test_every_python_command_runs_a_program_that_exists():
    missing = [shlex.join(words) for words, module, _ in ours() if module not in modules()]
    assert not missing


def test_every_flag_exists():
    wrong = []
    for words, module, arguments in ours():
        if module in WITH_ARGUMENTS:
            arguments = [argument for argument in arguments if argument.startswith("-")]
        names = [re.match(r"--(\w+)", argument) for argument in arguments]
        if module not in PASSING_ON and not all(
            name and re.search(rf"--(\[no\])?{name.group(1)}\b", help_of(module)) for name in names
        ):
            wrong.append(shlex.join(words))
    assert not wrong


def test_every_flagfile_and_program_named_exists():
    named = set(re.findall(r"\b(?:configs|tools|tests)/[\w/]+\.\w+", TEXT))
    assert named
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_every_other_command_is_installed():
    programs = {words[0] for words in commands()} - {*PYTHON, "pip", "source", "git", "cd"}
    beside_python = str(pathlib.Path(sys.executable).parent)
    assert [name for name in programs if not shutil.which(name, path=beside_python)] == []


def test_every_extra_exists():
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    for extra in re.findall(r"pip install [^`\n]*\.\[(\w+)\]", TEXT):
        assert f'"{extra}": [' in setup


def test_every_local_link_and_picture_exists():
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.parametrize("code", blocks("python"), ids=lambda code: code.split("\n")[0])
def test_python_examples_import_what_exists(code):
    wrong = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith("daaf_tf"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if f"{node.module}.{alias.name}" not in modules() and not hasattr(
                    module, alias.name
                ):
                    wrong.append(f"{node.module}.{alias.name}")
    assert not wrong
