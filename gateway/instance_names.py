"""Which instance does a caller mean? By its id or by its URL, as both were handed out."""

from collections.abc import Collection

from registry.model import Instance, InstanceId, ServiceName, ServiceSnapshot

MAX_SERVICES = 1024
"""Whose names are kept; with more all of them are read anew."""


class _Names:
    __slots__ = ("by_id", "by_url", "instances")

    def __init__(self, instances: tuple[Instance, ...]) -> None:
        self.instances = instances
        self.by_id: dict[str, Instance] = {instance.id: instance for instance in instances}
        self.by_url: dict[str, list[Instance]] = {}
        for instance in instances:
            self.by_url.setdefault(instance.url, []).append(instance)


class InstanceNames:
    """Looks instances up. What is read from a service's instances is kept until they change."""

    def __init__(self) -> None:
        self._kept: dict[ServiceName, _Names] = {}

    def find(
        self, snapshot: ServiceSnapshot, *, id: str | None = None, url: str | None = None
    ) -> list[Instance]:
        """Those with that id and that URL, as far as they are given; several may be at one URL."""
        names = self._names(snapshot)
        if id is None:
            return [] if url is None else names.by_url.get(_plain(url), [])
        found = names.by_id.get(id)
        return [found] if found is not None and url in (None, found.url, f"{found.url}/") else []

    def ids(self, snapshot: ServiceSnapshot, named: Collection[str]) -> frozenset[InstanceId]:
        """The ids of all that are named, either way. Names of nobody are passed over: they may be gone."""
        names = self._names(snapshot)
        found: set[InstanceId] = {i.id for name in named for i in names.by_url.get(_plain(name), ())}
        found.update(names.by_id[name].id for name in named if name in names.by_id)
        return frozenset(found)

    def _names(self, snapshot: ServiceSnapshot) -> _Names:
        kept = self._kept.get(snapshot.service)
        if kept is None or kept.instances is not snapshot.instances:
            if len(self._kept) >= MAX_SERVICES:
                self._kept.clear()
            kept = self._kept[snapshot.service] = _Names(snapshot.instances)
        return kept

    def __repr__(self) -> str:
        return f"<InstanceNames: of {len(self._kept)} services>"


def _plain(url: str) -> str:
    """People write a slash behind the port."""
    return url.removesuffix("/")
