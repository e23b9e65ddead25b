"""The one exception that programs show to people as a message instead of a stack trace."""

from __future__ import annotations


class UserError(Exception):
    """A fault in the input that its user can mend.

    The message says what was expected, what was received (file, line, value) and what to do.
    Programs print it as one line and exit with code 1; anything else that is raised is our own bug
    and keeps its stack trace.
    """
