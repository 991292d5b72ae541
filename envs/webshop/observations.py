"""How a page reads: WebShop's observation modes `text`, `text_rich` and `url`."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from layergym.envs.webshop.pages import Node

MODES = ("text", "text_rich", "url")


def plain_text(nodes: Sequence[Node]) -> str:
    """Mode `text`: the texts alone."""
    return " [SEP] ".join([node.text.strip() for node in nodes])


def rich_text(nodes: Sequence[Node], url: str, visited: Collection[str]) -> str:
    """Mode `text_rich`: what can be clicked, and what was, is marked.

    As in the original, an option counts as clicked when its value stands quoted in the address,
    so one with quotes or other than ASCII letters never does.
    """
    notes, lines = "", []
    for kind, text in nodes:
        clicked = f'"{text}"' in url if kind == "label" else kind == "link" and text in visited
        mark = "[clicked button] {} [clicked button_]" if clicked else "[button] {} [button_]"
        if kind == "label":
            lines.append("  " + mark.format(text))
            if clicked:
                notes = f"You have clicked {text}.\n{notes}"
        elif kind == "link":
            lines.append("\n" + mark.format(text))
        else:
            lines.append(mark.format(text) if kind == "button" else text)
    return notes + "".join(f"{line}\n" for line in lines)
