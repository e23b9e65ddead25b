"""Read a pickle without running anything that it names.

A pickle is a program for a stack machine, and Python's own unpickler imports and calls whatever it
asks for. The machine here knows the instructions that make numbers, text, lists, tuples and dicts;
what a pickle imports is looked up by name in a table, and refused if it is not there.
"""

from __future__ import annotations

import dataclasses
import pickletools
from typing import Any, BinaryIO, Callable

from daaf_tf.errors import UserError

# Instructions whose argument is the value.
_VALUES = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
        *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
    )
)
_MAKE = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_TUPLE": tuple,
    "EMPTY_SET": set,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NOTHING = ("PROTO", "FRAME")

# What a malformed program runs into; each pickle's fault, whatever the exception.
_FAULTS = (
    AttributeError,
    LookupError,
    MemoryError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclasses.dataclass(frozen=True)
class Global:
    """What a pickle imports, as far as it is allowed: a name and what stands for it here."""

    name: str
    value: Any


class Rebuilt:
    """Base of the objects that an allowed global makes, whose further state is of no interest."""


def read_pickle(
    file: BinaryIO,
    allowed: dict[str, Any],
    persistent: Callable[[Any], Any] | None = None,
) -> Any:
    """Read the pickle that begins at the file's position; the file then stands behind it.

    Args:
      file: a binary file.
      allowed: {qualified name: a function that the pickle may call, or a value}.
      persistent: turns the id of an object outside of the pickle into the object.

    Returns:
      The object. A value of `allowed` that stands by itself is a `Global`.

    Raises:
      UserError: the pickle imports what is not allowed (the message has its name), or is truncated
        or malformed; nothing has been run.
    """
    machine = _Machine(allowed, persistent)
    try:
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except _FAULTS as error:
        raise UserError(f"a pickle that is truncated or malformed ({error or 'bad'})") from error
    raise UserError("a pickle without an end")


class _Machine:
    def __init__(self, allowed, persistent):
        self._allowed = allowed
        self._persistent = persistent
        self._stack = []
        self._outer = []  # the stacks below each open mark
        self._memo = {}

    def pop(self):
        return self._stack.pop()

    def step(self, name, argument):
        """Run one instruction."""
        if name in _VALUES:
            self._stack.append(argument)
        elif name in _MAKE:
            self._stack.append(_MAKE[name]())
        elif name in _TUPLES:
            count = _TUPLES[name]
            if len(self._stack) < count:
                raise IndexError("stack too short")
            self._stack[-count:] = [tuple(self._stack[-count:])]
        elif name not in _NOTHING:
            run = getattr(self, f"_run_{name.lower()}", None)
            if run is None:
                raise UserError(f"a pickle with the instruction {name}, which no weights need")
            run(argument)

    def _pop_mark(self):
        items, self._stack = self._stack, self._outer.pop()
        return items

    def _run_mark(self, _):
        self._outer.append(self._stack)
        self._stack = []

    def _run_pop(self, _):
        self._stack.pop()

    def _run_tuple(self, _):
        items = self._pop_mark()
        self._stack.append(tuple(items))

    def _run_list(self, _):
        items = self._pop_mark()
        self._stack.append(items)

    def _run_dict(self, _):
        items = self._pop_mark()
        self._stack.append(dict(_pairs(items)))

    def _run_append(self, _):
        item = self._stack.pop()
        self._top(list).append(item)

    def _run_appends(self, _):
        items = self._pop_mark()
        self._top(list).extend(items)

    def _run_additems(self, _):
        items = self._pop_mark()
        self._top(set).update(items)

    def _run_setitem(self, _):
        value, key = self._stack.pop(), self._stack.pop()
        self._top(dict)[key] = value

    def _run_setitems(self, _):
        items = self._pop_mark()
        self._top(dict).update(_pairs(items))

    def _top(self, kind):
        if type(self._stack[-1]) is not kind:
            raise TypeError(f"items for a {type(self._stack[-1]).__name__}")
        return self._stack[-1]

    def _run_memoize(self, _):
        self._memo[len(self._memo)] = self._stack[-1]

    def _run_put(self, index):
        self._memo[index] = self._stack[-1]

    _run_binput = _run_long_binput = _run_put

    def _run_get(self, index):
        self._stack.append(self._memo[index])

    _run_binget = _run_long_binget = _run_get

    def _run_global(self, argument):
        self._import(argument.replace(" ", ".", 1))

    def _run_stack_global(self, _):
        name, module = self._stack.pop(), self._stack.pop()
        self._import(f"{module}.{name}")

    def _import(self, name):
        if name not in self._allowed:
            raise UserError(
                f"a pickle that asks for {name!r}, which no weights need; it could do anything, so "
                "nothing was run. If you trust the file, save its state_dict alone where it was "
                "made, and use that"
            )
        self._stack.append(Global(name, self._allowed[name]))

    def _run_reduce(self, _):
        arguments, function = self._stack.pop(), self._stack.pop()
        if type(function) is not Global or not callable(function.value):
            raise TypeError("a call of what is no function")
        if type(arguments) is not tuple:
            raise TypeError("a call without arguments")
        self._stack.append(function.value(*arguments))

    _run_newobj = _run_reduce

    def _run_build(self, _):
        self._stack.pop()
        # An OrderedDict comes with attributes (`_metadata`), a parameter with its flags.
        if not isinstance(self._stack[-1], (dict, Rebuilt)):
            raise TypeError(f"state for a {type(self._stack[-1]).__name__}")

    def _run_binpersid(self, _):
        if self._persistent is None:
            raise TypeError("an object outside of the pickle")
        self._stack.append(self._persistent(self._stack.pop()))


def _pairs(items):
    if len(items) % 2:
        raise ValueError("a key without a value")
    return zip(items[::2], items[1::2])
