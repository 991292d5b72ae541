"""Context policies: what of an episode a prompt shows.

Another package adds one through the entry-point group `layergym.contexts`: the entry is named as
the policy, and its value `module:callable` makes a `Context` from what stands behind the colon.
"""

from layergym.agents.contexts.base import Context, Exchange, View
from layergym.agents.contexts.last import Last, last
from layergym.agents.contexts.no_thoughts import NoThoughts
from layergym.agents.contexts.whole import Whole
from layergym.agents.plugins import Maker, Plugins, alone

_OURS: dict[str, Maker[Context]] = {
    "whole": alone(Whole),
    "last": last,
    "no-thoughts": alone(NoThoughts),
}
CONTEXTS: Plugins[Context] = Plugins("context", "layergym.contexts", _OURS)
"""All policies by name; `CONTEXTS.open("last:2")` makes one."""

__all__ = ["CONTEXTS", "Context", "Exchange", "Last", "NoThoughts", "View", "Whole"]
