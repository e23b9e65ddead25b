"""The settings of a run, one module a section; `daaf_tf.config` puts them together."""
