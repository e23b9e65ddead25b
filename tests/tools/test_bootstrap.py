"""The first start, the second start, and every way in which a start can go wrong.

Each test gets a checkout of its own, whose path holds a blank, and real processes. Two modules are
stand-ins, so that nothing is fetched: `venv` makes a real but empty environment, and the `pip` in
it writes down what it is asked for and does what the test says.
"""

import ast
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import pytest

TOOLS = pathlib.Path(__file__).resolve().parents[2] / "tools"
STARTED_BY_ANY_PYTHON = ("bootstrap.py", "run_tests.py", "quickstart.py")

PROGRAM = """
import bootstrap

bootstrap.ensure()

import sys

print(sys.prefix, *sys.argv[1:], sep="|")
"""
FAKE_VENV = """
import pathlib, subprocess, sys

folder = pathlib.Path(sys.argv[1])
subprocess.check_call([sys.executable, "-I", "-m", "venv", "--without-pip", str(folder)])
pip = next(folder.glob("lib/python*/site-packages")) / "pip"
pip.mkdir(exist_ok=True)
(pip / "__main__.py").write_text({pip!r})
"""
FAKE_PIP = """
import os, pathlib, signal, sys, time

if "--version" not in sys.argv:
    root = pathlib.Path.cwd()
    with open(root / "asked.txt", "a") as asked:
        print(os.environ["PIP_USER"], *sys.argv[1:], file=asked)
    if "-e" in sys.argv and (root / "act.py").exists():
        exec((root / "act.py").read_text())
"""
FAKE_PYTEST = """
import os


def main(arguments):
    print(os.getcwd(), *arguments, sep="|")
    return 3
"""
NO_VENV = """
import sys

print("ensurepip is not available: install the package python3-venv")
sys.exit(1)
"""


class Checkout:
    """A small checkout, and programs started in it."""

    def __init__(self, folder):
        self.root = folder / "a checkout"
        self.modules = folder / "modules"
        self.venv = self.root / ".venv"
        (self.root / "tools").mkdir(parents=True)
        self.modules.mkdir()
        for name in ("bootstrap.py", "run_tests.py"):
            shutil.copy(TOOLS / name, self.root / "tools")
        self.write("tools/program.py", PROGRAM)
        self.write("setup.py", "first")
        self.write("pyproject.toml", "first")
        self.stand_in("venv", FAKE_VENV.format(pip=FAKE_PIP))

    def write(self, name, text):
        (self.root / name).write_text(text)

    def stand_in(self, module, text):
        (self.modules / f"{module}.py").write_text(text)

    def begin(self, *arguments, program="program.py", python=sys.executable):
        return subprocess.Popen(
            [str(python), str(self.root / "tools" / program), *arguments],
            env=dict(os.environ, PYTHONPATH=str(self.modules)),
            cwd=self.modules,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start(self, *arguments, code=0, **options):
        """Start a program; return what it printed and what it said on stderr."""
        process = self.begin(*arguments, **options)
        printed, said = process.communicate(timeout=120)
        assert process.returncode == code, said
        assert "Traceback" not in said
        return printed, said

    def installs(self):
        """Return how often pip was asked to install the checkout."""
        asked = self.root / "asked.txt"
        return asked.read_text().count("-e .[test]") if asked.exists() else 0


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_first_start_installs_and_goes_on_with_its_arguments(checkout):
    printed, said = checkout.start("one", "two words")
    assert printed == f"{checkout.venv}|one|two words\n"
    assert "installing" in said
    first, second = (checkout.root / "asked.txt").read_text().splitlines()
    assert first.endswith("install pip>=24")
    assert second.startswith("0 ")  # PIP_USER: a user's own settings must not lead elsewhere
    assert second.endswith("-e .[test]")


def test_second_start_installs_nothing_and_says_nothing(checkout):
    checkout.start()
    printed, said = checkout.start()
    assert (printed, said, checkout.installs()) == (f"{checkout.venv}\n", "", 1)


@pytest.mark.parametrize("name", ["setup.py", "pyproject.toml"])
def test_a_change_of_what_is_asked_for_installs_again(checkout, name):
    checkout.start()
    checkout.write(name, "second")
    _, said = checkout.start()
    assert "changed" in said
    assert checkout.start() == (f"{checkout.venv}\n", "")
    assert checkout.installs() == 2


def test_a_moved_checkout_installs_again(checkout):
    checkout.start()
    moved = checkout.root.with_name("elsewhere")
    checkout.root.rename(moved)
    checkout.root, checkout.venv = moved, moved / ".venv"
    assert checkout.start()[0] == f"{moved}/.venv\n"
    assert checkout.installs() == 2


def test_a_failed_install_shows_the_end_of_pips_words_and_is_tried_again(checkout):
    checkout.write("act.py", "print(*range(1000), sep='\\n'); print('No space left'); sys.exit(2)")
    printed, said = checkout.start(code=1)
    assert printed == ""
    assert "No space left" in said
    assert "  999\n" in said
    assert "  500\n" not in said
    assert said.splitlines()[-1].startswith("error: could not install into .venv")
    checkout.write("act.py", "")
    assert checkout.start()[0] == f"{checkout.venv}\n"


def test_a_start_that_was_killed_is_finished_by_the_next(checkout):
    checkout.write("act.py", "os.kill(os.getppid(), signal.SIGKILL)")
    assert checkout.begin().wait(timeout=120) == -signal.SIGKILL
    checkout.write("act.py", "")
    assert checkout.start()[0] == f"{checkout.venv}\n"
    assert checkout.installs() == 2


def test_ctrl_c_ends_the_install_with_a_word(checkout):
    checkout.write("act.py", "os.kill(os.getppid(), signal.SIGINT); time.sleep(60)")
    _, said = checkout.start(code=130)
    assert said.splitlines()[-1] == "interrupted; the next start goes on"


def test_an_environment_left_without_pip_is_completed(checkout):
    subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", str(checkout.venv)])
    assert checkout.start()[0] == f"{checkout.venv}\n"
    assert checkout.installs() == 1


def test_two_starts_at_once_install_once(checkout):
    checkout.write("act.py", "\nwhile not (root / 'go').exists():\n    time.sleep(0.05)")
    first = checkout.begin()
    for _ in range(1200):
        if checkout.installs():
            break
        time.sleep(0.05)
    second = checkout.begin()
    assert second.stderr.readline().startswith("waiting for another start")
    checkout.write("go", "")
    for process in (first, second):
        assert process.communicate(timeout=120)[0] == f"{checkout.venv}\n"
    assert checkout.installs() == 1


def test_the_python_of_another_environment_goes_on_in_venv(checkout, tmp_path):
    other = tmp_path / "other"
    subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", str(other)])
    assert checkout.start(python=other / "bin" / "python")[0] == f"{checkout.venv}\n"


def test_an_environment_filled_by_hand_is_taken_as_it_is(checkout):
    subprocess.check_call([sys.executable, "-m", "venv", "--without-pip", str(checkout.venv)])
    assert checkout.start(python=checkout.venv / "bin" / "python") == (f"{checkout.venv}\n", "")
    assert checkout.installs() == 0


def test_the_python_of_venv_itself_brings_it_up_to_date(checkout):
    checkout.start()
    checkout.write("setup.py", "second")
    assert checkout.start(python=checkout.venv / "bin" / "python")[0] == f"{checkout.venv}\n"
    assert checkout.installs() == 2


def refusal(checkout):
    """Return the one line with which a start refuses."""
    printed, said = checkout.start(code=1)
    assert printed == ""
    assert len(said.splitlines()) == 1, said
    return said


def test_an_environment_of_another_python_is_named(checkout):
    checkout.start()
    settings = checkout.venv / "pyvenv.cfg"
    before = settings.read_text()
    settings.write_text(before.replace("version = 3.", "version = 4."))
    assert "is of Python 4." in refusal(checkout)
    assert checkout.installs() == 1


def test_an_environment_whose_python_is_gone_is_named(checkout):
    checkout.start()
    python = checkout.venv / "bin" / "python"
    python.unlink()
    python.symlink_to(checkout.root / "gone")
    assert "no working virtual environment" in refusal(checkout)


def test_a_folder_of_somebody_else_is_left_alone(checkout):
    (checkout.venv / "bin").mkdir(parents=True)
    (checkout.venv / "bin" / "python").write_text("not ours")
    assert "no working virtual environment" in refusal(checkout)
    assert [path.name for path in checkout.venv.rglob("*")] == ["bin", "python"]


def test_a_file_in_the_place_of_venv_is_named(checkout):
    checkout.write(".venv", "")
    assert str(checkout.venv) in refusal(checkout)


def test_a_python_without_venv_is_told_what_is_missing(checkout):
    checkout.stand_in("venv", NO_VENV)
    _, said = checkout.start(code=1)
    assert "install the package python3-venv" in said
    assert said.splitlines()[-1].startswith("error: could not make .venv")
    checkout.stand_in("venv", FAKE_VENV.format(pip=FAKE_PIP))
    assert checkout.start()[0] == f"{checkout.venv}\n"


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 8, 18), (3, 14, 0), (4, 0, 0)])
def test_another_python_gets_one_line(checkout, version):
    code = f"import sys; sys.version_info = {version}; import bootstrap; bootstrap.ensure()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=checkout.root / "tools",
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: daaf_tf needs Python 3.9 to 3.13, this is ")
    assert len(done.stderr.splitlines()) == 1
    assert not checkout.venv.exists()


@pytest.mark.parametrize("name", STARTED_BY_ANY_PYTHON)
def test_any_python_can_read_it(name):
    tree = ast.parse((TOOLS / name).read_text(), feature_version=(3, 7))
    futures = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    assert not futures, "Python 3.6 does not know every one of them"


@pytest.mark.parametrize("name", STARTED_BY_ANY_PYTHON[1:])
def test_programs_begin_with_the_bootstrap(name):
    _docstring, first, second, *_ = ast.parse((TOOLS / name).read_text()).body
    assert ast.unparse(first) == "import bootstrap"
    assert ast.unparse(second) == "bootstrap.ensure()"


def test_run_tests_hands_arguments_and_exit_code_on(checkout):
    checkout.stand_in("pytest", FAKE_PYTEST)
    printed, _ = checkout.start("-k", "two words", program="run_tests.py", code=3)
    assert printed == f"{checkout.root}|-k|two words\n"
