"""Import daaf_tf before any test imports TensorFlow: it chooses the Keras that everything needs."""

import daaf_tf  # noqa: F401
