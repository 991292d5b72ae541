"""A console that nothing it is given can steer."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from layergym.base.texts import printable


class SafeConsole(Console):
    """Shows the texts of environments, models and files, in tables and live views as well.

    What rich itself writes to move the cursor or to colour is kept; a control character in a text
    is shown as a space.
    """

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """All that is printed comes through here."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))
