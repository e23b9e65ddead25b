"""HTML and SVG in which everything is escaped that is not markup of our own making."""

from __future__ import annotations

import html


class Markup(str):
    """Text that is HTML already; any other text is escaped before it gets into a page."""

    __slots__ = ()


def tag(name: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element.

    >>> tag("p", "1 < 2", tag("br"), class_="note", aria_label='"x"')
    '<p class="note" aria-label="&quot;x&quot;">1 &lt; 2<br></p>'

    Args:
      name: of the element.
      *children: Markup as it is, None not at all, anything else as escaped text.
      **attributes: in Python's spelling, with `-` as `_` and one more `_` after a keyword; None is
        left out.
    """
    opening = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    closing = "" if name in ("br", "img", "meta") else f"{join(*children)}</{name}>"
    return Markup(f"<{name}{opening}>{closing}")


def join(*children: object) -> Markup:
    """Return children one after the other, escaped as `tag` does."""
    return Markup(
        "".join(
            child if isinstance(child, Markup) else html.escape(str(child))
            for child in children
            if child is not None
        )
    )
