"""A web page for a gallery: `python -m daaf_tf.demo --index=I`."""
