"""The catalogue: which services and checks are registered, and how each check stands.

Rules of this file: state and the index only. No async, no clock (`now` comes in), no file. A method
that changes what must survive a restart returns the `Change`s for the journal and the probes.
"""

import math
from collections.abc import Iterable, Sequence

from registry.agent.definitions import (
    CRITICAL,
    CheckDefinition,
    ServiceDefinition,
    maintenance_check,
    maintenance_id,
)
from registry.agent.index import Indexes, Topic
from registry.agent.records import (
    Change,
    Check,
    DropCheck,
    DropService,
    PutCheck,
    PutService,
    Refused,
    Service,
)


class Catalog:
    """Owned by one agent. All times are seconds of the caller's clock."""

    def __init__(
        self,
        *,
        first_index: int = 1,
        max_services: int = 2_000,
        max_checks: int = 4_000,
        min_deregister_s: float = 60.0,
    ) -> None:
        self._indexes = Indexes(first_index)
        self._services: dict[str, Service] = {}
        self._checks: dict[str, Check] = {}
        self._by_name: dict[str, dict[str, Service]] = {}
        self._by_service: dict[str, dict[str, Check]] = {}
        self._max_services = max_services
        self._max_checks = max_checks
        self._min_deregister_s = min_deregister_s
        self.soonest = math.inf
        """Nothing falls due before: call `expire` then. May be earlier than the truth, never later."""

    # -- what is there ------------------------------------------------------------------------

    @property
    def index(self) -> int:
        return self._indexes.current

    def index_of(self, topic: Topic) -> int:
        """The index a blocking query on that topic compares with. Never goes back."""
        return self._indexes.of(topic)

    def service(self, id: str) -> Service | None:
        return self._services.get(id)

    def services(self) -> list[Service]:
        """Ordered by id."""
        return [self._services[id] for id in sorted(self._services)]

    def instances(self, name: str) -> list[Service]:
        """Those of one name, whatever its case, ordered by id."""
        found = self._by_name.get(name.lower(), {})
        return [found[id] for id in sorted(found)]

    def check(self, id: str) -> Check | None:
        return self._checks.get(id)

    def checks(self) -> list[Check]:
        """Ordered by id."""
        return [self._checks[id] for id in sorted(self._checks)]

    def checks_of(self, service_id: str) -> list[Check]:
        """The checks of one instance, or with "" those of the node, ordered by id."""
        found = self._by_service.get(service_id, {})
        return [found[id] for id in sorted(found)]

    # -- registering --------------------------------------------------------------------------

    def register(
        self,
        service: ServiceDefinition,
        checks: Sequence[CheckDefinition],
        now: float,
        *,
        replace_checks: bool = False,
    ) -> list[Change] | Refused:
        """Adds or replaces an instance. Its other checks stay, unless `replace_checks`.

        A check that was there keeps its status and output, whatever `Status` says now: to register
        again is no proof of health. A TTL starts anew.
        """
        if service.id not in self._services and len(self._services) >= self._max_services:
            return Refused("too_many_services", f"this agent holds at most {self._max_services} services")
        named = {check.id for check in checks}
        if refused := self._no_room(named):
            return refused
        changes: list[Change] = [PutService(service)]
        self._put_service(service)
        if replace_checks:
            for check in self.checks_of(service.id):
                if check.definition.id not in named:
                    changes += self.remove_check(check.definition.id)
        for definition in checks:
            self._put_check(definition, now)
            changes.append(PutCheck(definition))
        return changes

    def deregister(self, id: str) -> list[Change]:
        """Removes an instance with its checks. What is not there is removed already."""
        if id not in self._services:
            return []
        changes: list[Change] = []
        for check in self.checks_of(id):
            changes += self.remove_check(check.definition.id)
        service = self._services.pop(id)
        self._forget_name(service.definition)
        return [*changes, DropService(id)]

    def add_check(self, check: CheckDefinition, now: float) -> list[Change] | Refused:
        """Adds or replaces one check; the rules are those of `register`."""
        if check.service_id and check.service_id not in self._services:
            return Refused("unknown_service", check.service_id)
        if refused := self._no_room({check.id}):
            return refused
        self._put_check(check, now)
        return [PutCheck(check)]

    def remove_check(self, id: str) -> list[Change]:
        """Removes one check. What is not there is removed already."""
        check = self._checks.pop(id, None)
        if check is None:
            return []
        self._detach(check.definition)
        self._indexes.check_changed(self._name_of(check.definition.service_id))
        return [DropCheck(id)]

    def maintenance(self, id: str, *, enable: bool, reason: str, now: float) -> list[Change] | Refused:
        """Takes an instance out of use or back. Enabling twice keeps the first reason, as Consul does."""
        service = self._services.get(id)
        if service is None:
            return Refused("unknown_service", id)
        if not enable:
            return self.remove_check(maintenance_id(id))
        if maintenance_id(id) in self._checks:
            return []
        check = maintenance_check(service.definition, reason)
        self._put_check(check, now)  # also when the agent is full: it must be possible to stop calls
        return [PutCheck(check)]

    def restore(
        self, services: Iterable[ServiceDefinition], checks: Iterable[CheckDefinition], now: float
    ) -> None:
        """Fills an empty catalogue with what a journal kept; a check without its service is left out."""
        for service in services:
            self._put_service(service)
        for check in checks:
            if not check.service_id or check.service_id in self._services:
                self._put_check(check, now)

    # -- how checks stand ---------------------------------------------------------------------

    def feed(self, id: str, status: str, output: str, now: float) -> Refused | None:
        """A service speaks for itself: sets a TTL check and starts its time anew."""
        check = self._checks.get(id)
        if check is None or check.definition.kind != "ttl":
            return Refused("not_a_ttl_check", id)
        check.note = output
        check.expires_at = now + check.definition.ttl_s
        self.soonest = min(self.soonest, check.expires_at)
        self._set(check, status, output, now)
        return None

    def observe(self, id: str, status: str, output: str, now: float) -> None:
        """A probe has looked. Of a check that is no longer there, nothing is kept."""
        if check := self._checks.get(id):
            self._set(check, status, output, now)

    def expire(self, now: float) -> list[Change]:
        """Makes TTL checks that were not fed critical, and forgets services critical for too long."""
        for check in self._checks.values():
            if check.expires_at <= now:
                check.expires_at = math.inf
                self._set(check, CRITICAL, _expired(check.note), now)
        doomed = {
            check.definition.service_id for check in self._checks.values() if self._doomed_at(check) <= now
        }
        changes = [change for id in sorted(doomed) for change in self.deregister(id)]
        self.soonest = min(map(self._due_at, self._checks.values()), default=math.inf)
        return changes

    def excuse(self, seconds: float) -> None:
        """Gives every TTL so much longer: this process could not hear anybody for that time."""
        for check in self._checks.values():
            check.expires_at += seconds

    def _set(self, check: Check, status: str, output: str, now: float) -> None:
        # A new output alone wakes nobody: a heartbeat with a changing note would wake every watcher.
        # Consul holds it back for minutes; here who asks sees it at once.
        check.output = output
        if check.status == status:
            return
        check.status = status
        check.critical_since = now if status == CRITICAL else math.inf
        check.modify_index = self._indexes.check_changed(self._name_of(check.definition.service_id))
        self.soonest = min(self.soonest, self._due_at(check))

    def _due_at(self, check: Check) -> float:
        return min(check.expires_at, self._doomed_at(check))

    def _doomed_at(self, check: Check) -> float:
        after_s = check.definition.deregister_after_s
        if not after_s or not check.definition.service_id:
            return math.inf
        return check.critical_since + max(after_s, self._min_deregister_s)

    # -- keeping the maps in step -------------------------------------------------------------

    def _put_service(self, definition: ServiceDefinition) -> None:
        old = self._services.get(definition.id)
        if old is not None and old.definition == definition:
            return
        if old is not None and old.definition.name.lower() != definition.name.lower():
            self._forget_name(old.definition)
        index = self._indexes.instance_changed(definition.name)
        service = Service(definition, old.create_index if old else index, index)
        self._services[definition.id] = service
        self._by_name.setdefault(definition.name.lower(), {})[definition.id] = service

    def _forget_name(self, definition: ServiceDefinition) -> None:
        key = definition.name.lower()
        others = self._by_name[key]
        del others[definition.id]
        if others:
            self._indexes.instance_changed(key)
        else:
            del self._by_name[key]
            self._indexes.service_gone(key)

    def _put_check(self, definition: CheckDefinition, now: float) -> None:
        old = self._checks.get(definition.id)
        status = old.status if old else definition.status
        check = Check(definition, status, old.output if old else "")
        if definition.kind == "ttl":
            check.expires_at = now + definition.ttl_s
        if status == CRITICAL:
            check.critical_since = old.critical_since if old else now
        if old is not None and old.definition.service_id != definition.service_id:
            self._detach(old.definition)
            self._indexes.check_changed(self._name_of(old.definition.service_id))
        self._checks[definition.id] = check
        self._by_service.setdefault(definition.service_id, {})[definition.id] = check
        if old is not None and _looks(old.definition) == _looks(definition):
            check.create_index, check.modify_index = old.create_index, old.modify_index
        else:
            check.modify_index = self._indexes.check_changed(self._name_of(definition.service_id))
            check.create_index = old.create_index if old else check.modify_index
        self.soonest = min(self.soonest, self._due_at(check))

    def _detach(self, definition: CheckDefinition) -> None:
        others = self._by_service[definition.service_id]
        del others[definition.id]
        if not others:
            del self._by_service[definition.service_id]

    def _name_of(self, service_id: str) -> str | None:
        return self._services[service_id].definition.name if service_id else None

    def _no_room(self, ids: set[str]) -> Refused | None:
        new = ids - self._checks.keys()
        if new and len(self._checks) + len(new) > self._max_checks:
            return Refused("too_many_checks", f"this agent holds at most {self._max_checks} checks")
        return None

    def __repr__(self) -> str:
        return f"<Catalog at {self.index}: {len(self._services)} services, {len(self._checks)} checks>"


def _looks(definition: CheckDefinition) -> tuple[str, str, str, str]:
    """What of a check the API shows, so what wakes a waiter when it changes."""
    return definition.name, definition.notes, definition.service_id, definition.kind


def _expired(note: str) -> str:
    return f"TTL expired (last output before timeout follows): {note}" if note else "TTL expired"
