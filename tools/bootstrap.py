"""Make `.venv` at the root of the checkout, install daaf_tf into it, go on with its Python.

A program that a newcomer starts with whatever `python3` there is begins with

    import bootstrap

    bootstrap.ensure()

and is from there on run by the Python of `.venv`, with everything installed. A second start
installs nothing; an interrupted install is finished by the next start. `python3 tools/bootstrap.py`
installs and does nothing else.

This file and those that begin like that keep to the syntax of Python 3.6, so that a Python that is
too old is told so in one line, not in a syntax error.
"""

import contextlib
import fcntl
import hashlib
import os
import pathlib
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
# Empty while an install is under way; afterwards the fingerprint of what was installed.
STAMP = VENV / "daaf_tf.installed"
LOG = VENV / "install.log"

OLDEST, NEWEST = (3, 9), (3, 13)
LINES_SHOWN, WIDTH_SHOWN = 8, 160
PIP = (str(VENV_PYTHON), "-m", "pip", "--no-input", "--disable-pip-version-check")


def ensure():
    """Return in the Python of `.venv` with daaf_tf installed, or exit with a message and code 1.

    Installs if nothing was installed yet, or if setup.py, pyproject.toml or the place of the
    checkout changed since. A `.venv` that its owner filled by hand and started this with is taken
    as it is.
    """
    check_python()
    try:
        check_venv()
        if needs_install():
            with lock_venv() as descriptor:
                if needs_install():  # another start may have done it while this one waited
                    install(descriptor)
        if not is_inside():
            go_on_inside()
    except OSError as error:
        sys.exit(f"error: {VENV}: {error}")
    except KeyboardInterrupt:
        say("interrupted; the next start goes on")
        sys.exit(130)


def check_python():
    """Exit if daaf_tf does not run on this Python."""
    if not OLDEST <= sys.version_info[:2] <= NEWEST:
        sys.exit(
            f"error: daaf_tf needs Python {dotted(OLDEST)} to {dotted(NEWEST)}, this is "
            f"{dotted(sys.version_info[:3])} ({sys.executable}); "
            f"start with another one, for example: python3.11 {sys.argv[0]}"
        )


def check_venv():
    """Exit if `.venv` exists and is not one that this Python can go on with."""
    if is_inside():
        return
    settings = VENV / "pyvenv.cfg"
    mine = dotted(sys.version_info[:2])
    if settings.exists():
        found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", settings.read_text(), re.M)
        if found and found.group(1) != mine:
            sys.exit(
                f"error: {VENV} is of Python {found.group(1)}, this is Python {mine}; "
                f"start with python{found.group(1)}, or delete that folder to have it made anew"
            )
    is_broken = VENV_PYTHON.is_symlink() and not VENV_PYTHON.exists()
    if is_broken or (VENV_PYTHON.exists() and not settings.exists()):
        sys.exit(
            f"error: {VENV} is no working virtual environment; "
            "move that folder away or delete it to have it made anew"
        )


def is_inside():
    """Tell whether this is the Python of `.venv`."""
    return pathlib.Path(sys.prefix).resolve() == VENV.resolve()


def needs_install():
    """Tell whether `.venv` lacks what this checkout asks for."""
    if not STAMP.exists():
        return not is_inside()
    return STAMP.read_text() != compute_fingerprint()


def compute_fingerprint():
    """Return a hash of all that decides what an install does."""
    digest = hashlib.sha256(f"{ROOT}\n{dotted(sys.version_info[:2])}\n".encode())
    for name in ("setup.py", "pyproject.toml"):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


@contextlib.contextmanager
def lock_venv():
    """Hold `.venv` for one install at a time; gives the descriptor that holds it."""
    VENV.mkdir(exist_ok=True)
    descriptor = os.open(str(VENV), os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another start, which is installing")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def install(lock):
    """Make `.venv` where it is missing and install the checkout into it, tests' needs included.

    Args:
      lock: descriptor of the lock; pip holds it too, so that not even a killed start lets a second
        pip work beside one that is still running.
    """
    start = time.monotonic()
    LOG.write_bytes(b"")
    if not is_inside() and not has_pip():
        say(f"making {VENV} with Python {dotted(sys.version_info[:3])}")
        run((sys.executable, "-m", "venv", str(VENV)), "make .venv", lock)
    if STAMP.exists() and STAMP.read_text():
        say("setup.py, pyproject.toml or the place changed: bringing .venv up to date")
    else:
        say(
            "installing TensorFlow and the rest into .venv, once: some 0.7 GB to fetch, 2.5 GB on "
            "disk, one to ten minutes"
        )
    STAMP.write_text("")
    run((*PIP, "install", "pip>=24"), "update pip", lock)  # an older one cannot install this way
    run((*PIP, "install", "--progress-bar=off", "-e", ".[test]"), "install into .venv", lock)
    complete = STAMP.with_suffix(".new")
    complete.write_text(compute_fingerprint())
    complete.replace(STAMP)
    say(f"installed in {time.monotonic() - start:.0f} s")


def has_pip():
    """Tell whether `.venv` is made, up to and including its pip."""
    return VENV_PYTHON.exists() and not subprocess.call(
        [*PIP, "--version"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def run(command, purpose, lock):
    """Run a command quietly; if it fails, show its last lines and exit with code 1."""
    process = subprocess.Popen(
        command,
        cwd=str(ROOT),
        # A user's pip settings may send packages elsewhere; here only .venv makes sense.
        env=dict(os.environ, PIP_USER="0"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        universal_newlines=True,
        errors="replace",
        pass_fds=(lock,),
    )
    lines = []
    try:
        with LOG.open("a", encoding="utf-8") as log:
            for line in process.stdout:
                log.write(line)
                lines.append(line.rstrip())
                show_progress(line.strip())
    except BaseException:
        process.terminate()
        raise
    finally:
        process.wait()
        show_progress("")
    if process.returncode:
        for line in [line for line in lines if line][-LINES_SHOWN:]:
            say(f"  {line[:WIDTH_SHOWN]}")
        sys.exit(
            f"error: could not {purpose}: the reason is above, the whole log in {LOG}; "
            "the next start tries again"
        )


def show_progress(line):
    """On a terminal, replace the last line by what pip is doing; an empty one clears it."""
    is_step = line.startswith(("Collecting", "Downloading", "Building", "Installing"))
    if sys.stderr.isatty() and (is_step or not line):
        sys.stderr.write(f"\r\033[K{line[:70]}")
        sys.stderr.flush()


def go_on_inside():
    """Replace this process by the same program under the Python of `.venv`; does not return."""
    for name in ("PYTHONHOME", "__PYVENV_LAUNCHER__"):  # both would lead out of .venv again
        os.environ.pop(name, None)
    sys.stdout.flush()
    os.execv(str(VENV_PYTHON), [str(VENV_PYTHON), *sys.argv])


def say(text):
    """Tell the user, beside what the program itself prints."""
    print(text, file=sys.stderr, flush=True)


def dotted(version):
    """Return (3, 9) as "3.9"."""
    return ".".join(map(str, version))


if __name__ == "__main__":
    ensure()
