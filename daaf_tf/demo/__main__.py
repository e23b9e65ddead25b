"""Search a gallery on a web page: `python -m daaf_tf.demo --index=I [--saved_model=S]`.

I is what python -m daaf_tf.search build wrote. The page is for this machine alone unless --host
says otherwise: it has no access control, and whoever sees it can look for people.
"""

from __future__ import annotations

import os
import tempfile

from daaf_tf import flags

FLAGS = flags.FLAGS


def main() -> None:
    """Open the gallery, load its model, and serve the page until interrupted."""
    from daaf_tf.demo.page import build_page, serve
    from daaf_tf.serving.gallery import open_gallery

    gallery = open_gallery(FLAGS.index, FLAGS.saved_model or None)
    gallery.embedder  # noqa: B018 (loads it now: a model that is not there shall not wait for a visitor)
    # What visitors drop lies there, and goes with the program.
    with tempfile.TemporaryDirectory(prefix="daaf_tf_demo_") as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        serve(build_page(gallery), host=FLAGS.host, port=FLAGS.port)


if __name__ == "__main__":
    flags.DEFINE_string("index", None, "Folder of the gallery.")
    flags.DEFINE_string("saved_model", "", "The gallery's model, if it is no longer where it was.")
    flags.DEFINE_string("host", "127.0.0.1", "Address to listen on; 0.0.0.0: all of the machine's.")
    flags.DEFINE_integer("port", 7860, "Port to listen on.", lower_bound=1, upper_bound=65535)
    flags.mark_flags_as_required(["index"])
    flags.run(main)
