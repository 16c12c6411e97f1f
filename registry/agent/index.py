"""The index behind blocking queries: which change concerns which question. Pure.

One counter grows with every change. Each question (a `Topic`) remembers the count at its last change,
so whoever waits for one service sleeps through the changes of all others. No topic's index ever goes
back, also not when a service vanishes and comes again.
"""

from collections import OrderedDict
from typing import Literal, NamedTuple

REMEMBERED = 4096
"""Vanished names whose own index is kept. Older ones share one index that is at least as high."""


class Topic(NamedTuple):
    """What is waited for. Service names differ only by more than case, as in Consul."""

    kind: Literal["services", "checks", "service", "instances"]
    """All registrations · all checks · one service with its checks · one service without them."""
    name: str = ""


SERVICES = Topic("services")
CHECKS = Topic("checks")


def service_topic(name: str) -> Topic:
    return Topic("service", name.lower())


def instances_topic(name: str) -> Topic:
    return Topic("instances", name.lower())


class Indexes:
    """Owned by the catalogue, which says what changed."""

    def __init__(self, first: int = 1, remembered: int = REMEMBERED) -> None:
        """`first` must be at least 1: clients take 0 for "no index"."""
        self.current = first
        self._services = self._checks = self._node = self._floor = first
        self._health: dict[str, int] = {}
        self._instances: dict[str, int] = {}
        self._gone: OrderedDict[str, int] = OrderedDict()
        self._remembered = remembered

    def instance_changed(self, name: str) -> int:
        """A service instance was added, changed or (with others left) removed."""
        self.current += 1
        key = name.lower()
        self._gone.pop(key, None)
        self._services = self._health[key] = self._instances[key] = self.current
        return self.current

    def service_gone(self, name: str) -> int:
        """The last instance of a name was removed."""
        self.current += 1
        key = name.lower()
        self._health.pop(key, None)
        self._instances.pop(key, None)
        self._services = self._gone[key] = self.current
        self._gone.move_to_end(key)
        while len(self._gone) > self._remembered:
            _, self._floor = self._gone.popitem(last=False)
        return self.current

    def check_changed(self, service: str | None) -> int:
        """A check of that service changed; `None` for one of the node, which concerns every service."""
        self.current += 1
        self._checks = self.current
        if service is None:
            self._node = self.current
        else:
            self._health[service.lower()] = self.current
        return self.current

    def of(self, topic: Topic) -> int:
        """The count at the last change that concerns the topic."""
        match topic.kind:
            case "services":
                return self._services
            case "checks":
                return self._checks
            case "service":
                if (own := self._health.get(topic.name)) is not None:
                    return max(own, self._node)
            case "instances":
                if (own := self._instances.get(topic.name)) is not None:
                    return own
        return self._gone.get(topic.name, self._floor)

    def __repr__(self) -> str:
        return f"<Indexes at {self.current}: {len(self._health)} services, {len(self._gone)} gone>"
