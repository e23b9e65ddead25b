"""absl flags made from the config's fields, and back; the only module that touches `absl.flags`.

Programs define what is not a setting (a folder to write to, say) with the `DEFINE_` functions that
are handed on here.
"""

from __future__ import annotations

import dataclasses
import io
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Callable

from absl import app, flags, logging
from absl.flags import (  # noqa: F401 (for programs)
    DEFINE_bool,
    DEFINE_enum,
    DEFINE_float,
    DEFINE_integer,
    DEFINE_multi_enum,
    DEFINE_multi_integer,
    DEFINE_multi_string,
    DEFINE_string,
)

from daaf_tf.config import Config, flat, settings
from daaf_tf.errors import UserError
from daaf_tf.settings import Section

FLAGS = flags.FLAGS

# What is defined here belongs to the program that asked for it, so that its --help shows it.
flags.disclaim_key_flags()


def define_settings(*sections: str) -> None:
    """Define one flag for every setting of the named config sections, all sections by default.

    The flag has the name, default, help and choices of the field in `daaf_tf.config`.
    """
    unknown = set(sections) - {section for section, _ in settings().values()}
    if unknown:
        raise ValueError(f"no such sections: {', '.join(sorted(unknown))}")
    for section, field in settings().values():
        if not sections or section in sections:
            _define(field)


def define_section(section: type[Section]) -> None:
    """Define one flag for every setting of a section that is one program's own."""
    for field in dataclasses.fields(section):
        _define(field)


def section_from_flags(section: type[Section]) -> Section:
    """Return the section that the parsed flags describe.

    Raises:
      UserError: a value that is not allowed, with the flag's name.
    """
    return section(**{field.name: FLAGS[field.name].value for field in dataclasses.fields(section)})


def _define(field: dataclasses.Field) -> None:
    define = {bool: flags.DEFINE_bool, int: flags.DEFINE_integer, float: flags.DEFINE_float}
    name, choices, text = field.name, field.metadata["choices"], field.metadata["help"]
    if type(field.default) is tuple:
        flags.DEFINE_list(name, list(field.default), text)
    elif type(field.default) is str and choices:
        flags.DEFINE_enum(name, field.default, choices, text)
    elif type(field.default) is str:
        flags.DEFINE_string(name, field.default, text)
    else:
        shown = f"{text} One of {', '.join(map(str, choices))}." if choices else text
        define[type(field.default)](name, field.default, shown)


def mark_flags_as_required(names: Iterable[str]) -> None:
    """Refuse a command line that gives no value, or an empty one, to one of these flags.

    absl's own function takes an empty default, which a setting may have, for a value, and warns.
    """
    for name in names:
        message = f"Flag --{name} must have a value."
        flags.register_validator(name, lambda value: value not in (None, ""), message)


def config_from_flags(base: Config | None = None, *, own: Iterable[str] = ()) -> Config:
    """Return the config that the parsed flags describe.

    Args:
      base: where a setting comes from whose flag was not given (say, a model directory's config);
        None: the defaults.
      own: flags of the program that share their name with a setting and do not set it.

    Raises:
      UserError: a value that is not allowed, with the flag's name.
    """
    values = {}
    for name, (_, field) in settings().items():
        if name in FLAGS and name not in own and (base is None or FLAGS[name].present):
            values[name] = _parse(name, FLAGS[name].value, field.default)
    return (base or Config()).replace(**values)


def _parse(name: str, value: Any, default: Any) -> Any:
    if type(default) is not tuple:
        return value
    try:
        return tuple(int(item) for item in value if str(item).strip())
    except ValueError:
        raise UserError(f"--{name}={','.join(value)}: expected whole numbers and commas") from None


def to_flagfile(config: Config) -> str:
    """Return the config as the text of a flagfile, one `--name=value` a line."""
    lines = []
    for name, value in flat(config).items():
        shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
        lines.append(f"--{name}={str(shown).lower() if isinstance(value, bool) else shown}")
    return "\n".join(lines) + "\n"


def run(main: Callable[[], None]) -> None:
    """Parse the command line and call `main()`; show a UserError as one line and exit with code 1.

    Arguments that are no flags are refused: a typing error must not pass silently.
    """
    _run(without_arguments(main))


def without_arguments(function: Callable[[], None]) -> Callable[[list[str]], None]:
    """Return a function that refuses any arguments it is called with."""

    def call(arguments: list[str]) -> None:
        if arguments:
            raise UserError(f"unexpected argument {arguments[0]!r}: flags are written --name=value")
        function()

    return call


def run_action(actions: Mapping[str, Callable[[list[str]], None]]) -> None:
    """Do what `run` does for a program whose first argument says what to do.

    Args:
      actions: {first argument: function}; the function is called with the other arguments.
    """

    def call(arguments: list[str]) -> None:
        action, *others = arguments or [""]
        if action not in actions:
            given = f"received {action!r}" if action else "received none"
            raise UserError(f"expected one of {', '.join(actions)} as first argument, {given}")
        actions[action](others)

    _run(call)


def _run(call: Callable[[list[str]], None]) -> None:
    def guarded(arguments: list[str]) -> None:
        # What libraries log for their developers is kept off the screen, unless it is asked for.
        if not FLAGS["verbosity"].present:
            logging.set_verbosity(logging.WARNING)
        # A file name may hold bytes that no terminal can show.
        if isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            call(arguments[1:])
        except UserError as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            sys.exit(130)

    app.run(guarded)
