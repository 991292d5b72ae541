"""Text between tags such as `<answer>` and `</answer>`, found in one pass."""

from __future__ import annotations

from collections.abc import Iterator


def between(text: str, tag: str) -> Iterator[str]:
    """What stands between `<tag>` and the next `</tag>`, each time, in order.

    The time grows with the length of `text`, whatever stands in it: a search for a closing tag that
    fails is the last one.
    """
    opening, closing = f"<{tag}>", f"</{tag}>"
    start = text.find(opening)
    while start >= 0:
        start += len(opening)
        end = text.find(closing, start)
        if end < 0:
            return
        yield text[start:end]
        start = text.find(opening, end + len(closing))
