"""Errors for people: the one exception that programs show as a message, and how to quote others."""

from __future__ import annotations


class UserError(Exception):
    """A fault in the input that its user can mend.

    The message says what was expected, what was received (file, line, value) and what to do.
    Programs print it as one line and exit with code 1; anything else that is raised is our own bug
    and keeps its stack trace.
    """


def brief(error: Exception) -> str:
    """Return the one line of an exception's message that says what is wrong.

    TensorFlow's errors begin with "Graph execution error" and a trace of the node; the cause comes
    last, before the node's name is repeated.
    """
    message = getattr(error, "message", None)
    if message is None:
        lines = str(error).strip().splitlines()[:1]
    else:
        text = message.split("\n\t [[")[0].split(" [Op:")[0].strip()
        lines = text.split("}} ")[-1].splitlines()[-1:]
    return "".join(lines)[:400] or type(error).__name__
