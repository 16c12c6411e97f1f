"""The embedded agent: the part of Consul's own HTTP API that services and the gateway use.

One code path for both: the gateway asks "a Consul address", a service registers at one, and whether a
real Consul or this agent listens there makes no difference. It is one node on purpose; more than one
machine means real Consul. Where it differs from Consul 1.8.7, it is on purpose: HTTP checks follow no
redirect, `filter` and the like are refused, so are web pages and text that is no UTF-8, and after a
restart a check starts with its `Status`.

    server.py       EmbeddedAgent: opens and wires the rest
    api.py          the endpoints                       guard.py     which requests are refused
    queries.py      a read's query string               answers.py   the catalogue as Consul's JSON
    definitions.py  a registration's body               decode.py, durations.py, metadata.py: its parts
    catalog.py      what is registered, how it stands   records.py, index.py: its parts
    live.py         what follows from a change          waiting.py   blocking queries
    checks.py       HTTP and TCP checks                 journal.py   registrations on disk
"""

from registry.agent.journal import JournalError
from registry.agent.server import AgentLimits, CannotListen, EmbeddedAgent

__all__ = ["AgentLimits", "CannotListen", "EmbeddedAgent", "JournalError"]
