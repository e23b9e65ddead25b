"""Flags: every setting from the command line and from a flagfile, and what a mistake looks like."""

import json
import subprocess
import sys

import pytest
from other_values import other_values
from source_imports import ROOT

from daaf_tf.config import Config, flat, from_json, settings
from daaf_tf.flags import define_settings, to_flagfile

PARSE = """
from daaf_tf import flags
from daaf_tf.config import Config, to_json

flags.define_settings()
flags.run(lambda: print(to_json(flags.config_from_flags({base})), end=""))
"""
RAISE = """
from daaf_tf import flags
from daaf_tf.errors import UserError


def main():
    raise {error}


flags.run(main)
"""


def run(program, *arguments):
    """Run the text of a program with arguments; return exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def parse(*arguments, base="None"):
    """Return the config that a program gets from its command line."""
    code, printed, errors = run(PARSE.format(base=base), *arguments)
    assert (code, errors) == (0, "")
    return from_json(printed)


def refuse(*arguments):
    """Return what a program says of a command line that it refuses."""
    code, printed, errors = run(PARSE.format(base="None"), *arguments)
    assert (code, printed) == (1, "")
    assert "Traceback" not in errors
    return errors


def test_without_flags_it_is_the_default_config():
    assert parse() == Config()


@pytest.mark.parametrize("values", [{}, other_values()], ids=["defaults", "all settings changed"])
def test_flagfile_round_trip(tmp_path, values):
    config = Config().replace(**values)
    path = tmp_path / "a run" / "train.flags"
    path.parent.mkdir()
    path.write_text(to_flagfile(config))
    assert parse(f"--flagfile={path}") == config


def test_flagfile_has_one_line_for_each_setting():
    lines = to_flagfile(Config()).splitlines()
    assert [line.partition("=")[0] for line in lines] == [f"--{name}" for name in settings()]


def test_each_setting_by_its_flag():
    arguments = to_flagfile(Config().replace(**other_values())).splitlines()
    assert flat(parse(*arguments)) == other_values()


def test_later_flags_win_over_the_flagfile(tmp_path):
    path = tmp_path / "f.flags"
    path.write_text("# a comment\n\n--seed=5\n--hab=false\n--padding=3\n")
    config = parse(f"--flagfile={path}", "--seed=6", "--hab")
    assert (config.data.seed, config.model.hab, config.data.padding) == (6, True, 3)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("--hab", True), ("--nohab", False), ("--hab=false", False), ("--hab=true", True)],
)
def test_booleans(argument, value):
    assert parse(argument).model.hab is value


@pytest.mark.parametrize(
    ("argument", "value"),
    [("--milestones=", ()), ("--milestones=7", (7,)), ("--milestones=7, 12", (7, 12))],
)
def test_tuples(argument, value):
    assert parse(argument).optimizer.milestones == value


def test_what_is_not_given_comes_from_the_base():
    base = "Config().replace(seed=9, hab=False, milestones=(3,), embedding_size=64)"
    config = parse("--embedding_size=32", "--milestones=", base=base)
    assert config == Config().replace(seed=9, hab=False, embedding_size=32)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("--padding=-1", "error: --padding=-1: expected 0 or more"),
        ("--last_stride=3", "error: --last_stride=3: expected one of 1, 2"),
        ("--milestones=1,x", "error: --milestones=1,x: expected whole numbers"),
        ("--margin=wide", "error: --margin=wide: expected 'soft' or a number"),
        ("--learning_rate=nan", "error: --learning_rate=nan: expected a finite number"),
    ],
)
def test_a_value_that_is_not_allowed_is_one_line(argument, message):
    errors = refuse(argument)
    assert errors.startswith(message)
    assert len(errors.splitlines()) == 1


@pytest.mark.parametrize(
    ("argument", "named"),
    [
        ("--learning_rat=1", "learning_rat"),
        ("--seed=one", "--seed=one"),
        ("--hab=maybe", "--hab=maybe"),
        ("--backbone=vgg", "--backbone=vgg"),
        ("--flagfile=missing.flags", "missing.flags"),
        ("stray", "unexpected argument 'stray'"),
    ],
)
def test_a_mistake_on_the_command_line_is_named(argument, named):
    assert named in refuse(argument)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("UserError('file.jpg: no image')", 1, "error: file.jpg: no image\n"),
        ("KeyboardInterrupt", 130, "interrupted\n"),
    ],
)
def test_run_shows_errors_as_one_line(error, code, said):
    assert run(RAISE.format(error=error)) == (code, "", said)


def test_run_keeps_the_trace_of_our_own_bugs():
    code, _, errors = run(RAISE.format(error="ZeroDivisionError"))
    assert code == 1
    assert "Traceback" in errors


def test_a_name_that_is_no_text_can_be_printed():
    program = "from daaf_tf import flags; flags.run(lambda: print('a\\udcff.jpg'))"
    assert run(program)[:2] == (0, "a\\udcff.jpg\n")


def test_help_lists_the_settings():
    _, printed, _ = run(PARSE.format(base="None"), "--help")
    assert [name for name in settings() if f"--{name}:" not in printed.replace("[no]", "")] == []


def test_a_program_may_take_some_sections_only():
    program = "\n".join(
        [
            "import json",
            "from daaf_tf import flags",
            "flags.define_settings('eval')",
            "flags.run(lambda: print(json.dumps(sorted(set(flags.FLAGS) & NAMES))))",
        ]
    )
    _, printed, _ = run(f"NAMES = {set(settings())}\n{program}")
    assert json.loads(printed) == ["eval_batch_size", "eval_metric", "tta"]


def test_an_unknown_section_is_our_own_bug():
    with pytest.raises(ValueError, match="no such sections: colours"):
        define_settings("eval", "colours")


@pytest.mark.parametrize("given", [(), ("--data_dir=",)])
def test_a_setting_that_a_program_requires_is_asked_for_and_nothing_else_is_said(given):
    program = "\n".join(
        [
            "from daaf_tf import flags",
            "flags.define_settings('data')",
            "flags.mark_flags_as_required(['data_dir'])",
            "flags.run(lambda: None)",
        ]
    )
    code, _, errors = run(program, *given)
    assert code == 1
    assert errors.startswith("FATAL Flags parsing error: flag --data_dir=: Flag --data_dir must")
    assert run(program, "--data_dir=R") == (0, "", "")


ACTIONS = """
from daaf_tf import flags

flags.DEFINE_integer("number", 1, "A number.")
flags.run_action(
    {
        "alone": flags.without_arguments(lambda: print("alone", flags.FLAGS.number)),
        "with": lambda arguments: print("with", *arguments),
    }
)
"""


def test_the_first_argument_chooses_the_action():
    assert run(ACTIONS, "alone", "--number=3") == (0, "alone 3\n", "")
    assert run(ACTIONS, "--number=3", "with", "a", "b") == (0, "with a b\n", "")
    assert run(ACTIONS, "with") == (0, "with\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected one of alone, with as first argument, received none"),
        (("all",), "expected one of alone, with as first argument, received 'all'"),
        (("alone", "stray"), "unexpected argument 'stray'"),
    ],
)
def test_an_action_that_is_none_is_named(arguments, message):
    code, printed, errors = run(ACTIONS, *arguments)
    assert (code, printed) == (1, "")
    assert errors.startswith(f"error: {message}")
