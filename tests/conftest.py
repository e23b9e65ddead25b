"""What must be so before the first test is collected."""

import signal

import daaf_tf  # noqa: F401 (before any test imports TensorFlow: it chooses its Keras)

# A runner that was started in the background ignores Ctrl-C, and every program that a test starts
# would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
