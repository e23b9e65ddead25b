"""The page itself: which part listens to which, and how it is served."""

from __future__ import annotations

import math
from typing import Any

from daaf_tf.demo.answers import find
from daaf_tf.demo.pieces import STYLE, make_error, make_hits, make_overlays, make_verdict
from daaf_tf.errors import UserError
from daaf_tf.imports import import_gradio
from daaf_tf.serving.gallery import Gallery

# Larger files are refused before they are read.
MAX_FILE_SIZE = "20mb"
# Fonts of the machine: the usual theme fetches its own from the network.
_FONTS = ("system-ui", "sans-serif")
_FIXED_FONTS = ("ui-monospace", "monospace")
_DIGITS = 4  # of a threshold
_TITLE = "Who is this?"
_HINT = (
    "Drop the crop of a person, and the gallery's images nearest to it are listed. "
    "A hit is a hint, no proof of who somebody is."
)


def build_page(gallery: Gallery) -> Any:
    """Return the page of a gallery (a `gradio.Blocks`), not yet served."""
    gradio = import_gradio()
    calibrated = gallery.threshold
    if calibrated is not None:
        # As many digits as the slider has; downwards, so that nobody more is accepted.
        calibrated = math.floor(calibrated * 10**_DIGITS) / 10**_DIGITS
    start = calibrated or 0.0
    note = "calibrated" if calibrated is not None else "not calibrated: choose one"

    def show(answer, threshold):
        if answer is None:
            return "", ""
        return make_verdict(answer, threshold, calibrated), make_hits(answer, threshold)

    def ask(path, top, threshold):
        """Return the answer to keep, and what every part shows from now on."""
        if path is None:
            return None, "", "", "", gradio.skip()
        try:
            answer = find(gallery, path, top=int(top))
        except UserError as error:
            return None, make_error(str(error)), "", "", gradio.skip()
        # The slider reaches somewhat beyond the last image that is shown.
        farthest = max(threshold, 1.25 * answer.found[-1].hit.distance)
        farthest = max(math.ceil(100 * farthest) / 100, 0.01)
        return (
            answer,
            *show(answer, threshold),
            make_overlays(answer),
            gradio.update(maximum=farthest),
        )

    with gradio.Blocks(title=_TITLE, analytics_enabled=False, delete_cache=(600, 600)) as page:
        gradio.Markdown(f"# {_TITLE}\n{_HINT}")
        answer = gradio.State(None)
        with gradio.Row():
            with gradio.Column(scale=2, min_width=280):
                file = gradio.File(label="Image (JPEG, PNG)", height=150, elem_id="file")
                threshold = gradio.Slider(
                    0,
                    2 * start or 1.0,
                    start,
                    step=10**-_DIGITS,
                    label=f"Threshold ({note})",
                    info="The largest distance of a known person",
                    elem_id="threshold",
                    buttons=["reset"],
                )
                top = gradio.Slider(1, 30, 12, step=1, label="Images", elem_id="top", buttons=[])
                overlays = gradio.HTML(elem_id="overlays")
            with gradio.Column(scale=5, min_width=300):
                verdict = gradio.HTML(elem_id="verdict")
                hits = gradio.HTML(elem_id="hits")
        gradio.Markdown(
            f"{len(gallery):,} images, {gallery.metric} distance, "
            f"model {gallery.model_fingerprint[:12]}"
        )
        asked = [answer, verdict, hits, overlays, threshold]
        gradio.on([file.change, top.release], ask, [file, top, threshold], asked)
        threshold.change(show, [answer, threshold], [verdict, hits], show_progress="hidden")
    return page


def serve(page: Any, *, host: str, port: int, block: bool = True) -> str:
    """Serve the page, to this machine alone unless the host says otherwise.

    Args:
      page: from `build_page`.
      host: address to listen on.
      port: to listen on.
      block: return only when interrupted.

    Returns:
      The page's address.

    Raises:
      UserError: the address cannot be had.
    """
    gradio = import_gradio()
    try:
        _, url, _ = page.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            ssr_mode=False,
            footer_links=[],
            max_file_size=MAX_FILE_SIZE,
            css=STYLE,
            theme=gradio.themes.Default(font=_FONTS, font_mono=_FIXED_FONTS),
        )
    except OSError as error:
        raise UserError(
            f"--host={host} --port={port}: cannot listen there ({error}); name another --port"
        ) from error
    print(f"the page is at {url}", flush=True)
    if block:
        page.block_thread()
    return url
