"""What a server says no to, apart from a server that is not there."""

from __future__ import annotations

from daaf_tf.errors import UserError

# The signature that takes image files, its input and its output.
SIGNATURE = "encoded"
INPUT = "encoded"
OUTPUT = "embedding"


class RefusedError(UserError):
    """The server looked at the content of a request and refused it; the next one may pass."""


def silent(server: str, seconds: float) -> UserError:
    """Return the error of a server that does not answer in time."""
    return UserError(
        f"{server}: no answer within {seconds:g} s; raise --timeout, or lower --batch_size"
    )


def absent(server: str, reason: object) -> UserError:
    """Return the error of a server that cannot be reached."""
    return UserError(
        f"{server}: no server answers there ({reason}); start one (docs/serving.md), or name "
        "another with --server"
    )


def unknown_model(server: str, model: str, answer: str) -> UserError:
    """Return the error of a server that does not have the model."""
    return UserError(
        f"{server}: it does not serve the model {model!r}; it says: {answer}. Name the model that "
        "it was started with by --model (and --model_version)"
    )


def no_embedding(server: str, found: str) -> UserError:
    """Return the error of an answer that is not one embedding for each image."""
    return UserError(
        f"{server}: expected one {OUTPUT!r} for each image from the signature {SIGNATURE!r} of a "
        f"model that daaf_tf exported, received {found}"
    )
