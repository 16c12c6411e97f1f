from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from registry.agent.catalog import Catalog
from registry.agent.definitions import CheckDefinition, ServiceDefinition
from registry.agent.index import CHECKS, SERVICES, Topic, instances_topic, service_topic
from registry.agent.records import Change, DropCheck, DropService, PutCheck, PutService, Refused

WEB = ServiceDefinition("web-1", "web", 80)
OTHER = ServiceDefinition("other-1", "other", 80)


def ttl(id: str = "c", service_id: str = "web-1", **fields: Any) -> CheckDefinition:
    return CheckDefinition(id, id, "ttl", service_id, **{"ttl_s": 10.0, **fields})


def status(catalog: Catalog, id: str = "c") -> str:
    check = catalog.check(id)
    assert check is not None
    return check.status


def test_a_check_starts_critical_unless_it_says_otherwise() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl("a"), ttl("b", status="passing")], 0.0)
    assert (status(catalog, "a"), status(catalog, "b")) == ("critical", "passing")


def test_a_ttl_that_is_fed_lives_and_one_that_is_not_ends() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl()], 0.0)
    catalog.feed("c", "passing", "fine", 1.0)
    assert catalog.soonest <= 11.0
    catalog.expire(10.9)
    assert status(catalog) == "passing"
    assert catalog.soonest == 11.0
    catalog.expire(11.0)
    assert status(catalog) == "critical"
    check = catalog.check("c")
    assert check is not None
    assert check.output == "TTL expired (last output before timeout follows): fine"
    catalog.feed("c", "warning", "", 12.0)
    assert status(catalog) == "warning"


def test_a_ttl_that_never_spoke_says_only_that_it_ended() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl(status="passing")], 0.0)
    catalog.expire(10.0)
    check = catalog.check("c")
    assert check is not None
    assert check.output == "TTL expired"


def test_to_register_again_is_no_proof_of_health_but_restarts_the_ttl() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl(status="passing")], 0.0)
    catalog.register(WEB, [ttl(status="passing")], 8.0)
    catalog.expire(12.0)
    assert status(catalog) == "passing"
    catalog.expire(18.0)
    catalog.register(WEB, [ttl(status="passing")], 19.0)
    assert status(catalog) == "critical"


def test_to_register_again_keeps_other_checks_unless_told_to_replace() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl("a"), ttl("b")], 0.0)
    catalog.maintenance("web-1", enable=True, reason="", now=0.0)
    catalog.register(WEB, [ttl("b")], 0.0)
    assert [c.definition.id for c in catalog.checks()] == ["_service_maintenance:web-1", "a", "b"]
    changes = catalog.register(WEB, [ttl("b")], 0.0, replace_checks=True)
    assert [c.definition.id for c in catalog.checks()] == ["b"]
    assert changes == [
        PutService(WEB),
        DropCheck("_service_maintenance:web-1"),
        DropCheck("a"),
        PutCheck(ttl("b")),
    ]


def test_the_same_registration_again_wakes_nobody() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl()], 0.0)
    before = catalog.index
    assert catalog.register(WEB, [ttl()], 1.0) == [PutService(WEB), PutCheck(ttl())]
    assert catalog.index == before


def test_a_new_output_alone_wakes_nobody_but_is_seen() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl(status="passing")], 0.0)
    before = catalog.index
    catalog.feed("c", "passing", "42 clients", 1.0)
    check = catalog.check("c")
    assert check is not None
    assert (catalog.index, check.output) == (before, "42 clients")


def test_only_ttl_checks_are_fed() -> None:
    catalog = Catalog()
    catalog.register(WEB, [CheckDefinition("h", "h", "http", "web-1", target="http://x", interval_s=1)], 0.0)
    assert catalog.feed("h", "passing", "", 0.0) == Refused("not_a_ttl_check", "h")
    assert catalog.feed("nobody", "passing", "", 0.0) == Refused("not_a_ttl_check", "nobody")


def test_a_probe_that_comes_late_changes_nothing() -> None:
    catalog = Catalog()
    catalog.observe("gone", "critical", "", 0.0)
    assert catalog.index == 1


def test_a_service_critical_for_too_long_is_forgotten() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl(status="passing", deregister_after_s=90.0)], 0.0)
    catalog.register(OTHER, [], 0.0)
    catalog.expire(10.0)
    assert catalog.soonest == 100.0
    catalog.feed("c", "passing", "", 50.0)
    catalog.expire(60.0)
    assert catalog.soonest == 150.0
    assert catalog.expire(149.0) == []
    assert catalog.expire(150.0) == [DropCheck("c"), DropService("web-1")]
    assert [s.definition.id for s in catalog.services()] == ["other-1"]


def test_consuls_minimum_of_a_minute_holds() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl(deregister_after_s=1.0)], 0.0)
    assert catalog.expire(59.0) == []
    assert catalog.expire(60.0) != []


def test_to_register_again_does_not_restart_the_time_to_be_forgotten() -> None:
    catalog = Catalog(min_deregister_s=1.0)
    catalog.register(WEB, [ttl(deregister_after_s=5.0)], 0.0)
    catalog.register(WEB, [ttl(deregister_after_s=5.0)], 4.0)
    assert catalog.expire(5.0) != []


def test_an_excuse_lengthens_every_ttl() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl(status="passing")], 0.0)
    catalog.excuse(20.0)
    catalog.expire(29.0)
    assert status(catalog) == "passing"
    catalog.expire(30.0)
    assert status(catalog) == "critical"


def test_maintenance_keeps_its_first_reason_and_ends() -> None:
    catalog = Catalog()
    catalog.register(WEB, [], 0.0)
    catalog.maintenance("web-1", enable=True, reason="upgrade", now=0.0)
    assert catalog.maintenance("web-1", enable=True, reason="other", now=0.0) == []
    (check,) = catalog.checks_of("web-1")
    assert (check.status, check.definition.notes) == ("critical", "upgrade")
    catalog.maintenance("web-1", enable=False, reason="", now=0.0)
    assert catalog.checks_of("web-1") == []
    assert catalog.maintenance("nobody", enable=True, reason="", now=0.0) == Refused(
        "unknown_service", "nobody"
    )


def test_it_is_bounded_and_full_agents_still_serve_who_is_there() -> None:
    catalog = Catalog(max_services=1, max_checks=1)
    assert catalog.register(WEB, [ttl()], 0.0) == [PutService(WEB), PutCheck(ttl())]
    refused = catalog.register(OTHER, [], 0.0)
    assert refused == Refused("too_many_services", "this agent holds at most 1 services")
    assert catalog.add_check(ttl("d"), 0.0) == Refused("too_many_checks", "this agent holds at most 1 checks")
    assert isinstance(catalog.register(WEB, [ttl("d")], 0.0), Refused)
    assert isinstance(catalog.register(WEB, [ttl()], 0.0), list)
    assert isinstance(catalog.maintenance("web-1", enable=True, reason="", now=0.0), list)


def test_a_check_of_an_unknown_service_is_refused_and_one_of_the_node_is_not() -> None:
    catalog = Catalog()
    assert catalog.add_check(ttl(service_id="nobody"), 0.0) == Refused("unknown_service", "nobody")
    assert catalog.add_check(ttl(service_id=""), 0.0) == [PutCheck(ttl(service_id=""))]
    assert [c.definition.id for c in catalog.checks_of("")] == ["c"]


def test_an_id_that_takes_another_name_leaves_the_old_one() -> None:
    catalog = Catalog()
    catalog.register(WEB, [ttl()], 0.0)
    catalog.register(ServiceDefinition("web-1", "renamed", 80), [], 0.0)
    assert catalog.instances("web") == []
    assert [s.definition.id for s in catalog.instances("RENAMED")] == ["web-1"]
    assert "1 services" in repr(catalog)


def seen(catalog: Catalog, topic: Topic) -> object:
    """What the answer to a topic's question is made of, without outputs (they wake nobody)."""

    def shown(service_id: str) -> list[object]:
        return [
            (c.definition.id, c.definition.name, c.definition.notes, c.definition.kind, c.status)
            for c in catalog.checks_of(service_id)
        ]

    match topic.kind:
        case "services":
            return [s.definition for s in catalog.services()]
        case "checks":
            return [(c.definition.service_id, shown(c.definition.service_id)) for c in catalog.checks()]
        case "instances":
            return [s.definition for s in catalog.instances(topic.name)]
        case _:
            found = [(s.definition, shown(s.definition.id)) for s in catalog.instances(topic.name)]
            return (found, shown("")) if found else None


ids = st.sampled_from(["i1", "i2", "i3"])
names = st.sampled_from(["a", "B"])
check_ids = st.sampled_from(["c1", "c2", "c3"])
statuses = st.sampled_from(["passing", "warning", "critical"])
TOPICS = [SERVICES, CHECKS, *(make(n) for n in "ab" for make in (service_topic, instances_topic))]


class CatalogMachine(RuleBasedStateMachine):
    """Any history: indexes only grow, a waiter wakes iff its answer changed, a journal replays."""

    @initialize()
    def start(self) -> None:
        self.now = 0.0
        self.catalog = Catalog(min_deregister_s=5.0)
        self.services: dict[str, ServiceDefinition] = {}
        self.checks: dict[str, CheckDefinition] = {}
        self.before = self.watch()

    def watch(self) -> dict[Topic, tuple[int, object]]:
        return {topic: (self.catalog.index_of(topic), seen(self.catalog, topic)) for topic in TOPICS}

    def journal(self, changes: list[Change] | Refused) -> None:
        if isinstance(changes, Refused):
            return
        for change in changes:
            match change:
                case PutService(service):
                    self.services[service.id] = service
                case DropService(id):
                    del self.services[id]
                case PutCheck(check):
                    self.checks[check.id] = check
                case DropCheck(id):
                    del self.checks[id]

    @rule(id=ids, name=names, port=st.integers(1, 2), checks=st.sets(check_ids), replace=st.booleans())
    def register(self, id: str, name: str, port: int, checks: set[str], replace: bool) -> None:
        service = ServiceDefinition(id, name, port)
        definitions = [ttl(c, id, deregister_after_s=5.0) for c in sorted(checks)]
        self.journal(self.catalog.register(service, definitions, self.now, replace_checks=replace))

    @rule(id=ids)
    def deregister(self, id: str) -> None:
        self.journal(self.catalog.deregister(id))

    @rule(id=check_ids, service_id=ids | st.just(""), status=statuses, notes=st.sampled_from(["", "n"]))
    def add_check(self, id: str, service_id: str, status: str, notes: str) -> None:
        self.journal(self.catalog.add_check(ttl(id, service_id, status=status, notes=notes), self.now))

    @rule(id=check_ids)
    def remove_check(self, id: str) -> None:
        self.journal(self.catalog.remove_check(id))

    @rule(id=ids, enable=st.booleans())
    def maintenance(self, id: str, enable: bool) -> None:
        self.journal(self.catalog.maintenance(id, enable=enable, reason="", now=self.now))

    @rule(id=check_ids, status=statuses)
    def feed(self, id: str, status: str) -> None:
        self.catalog.feed(id, status, "", self.now)

    @rule(seconds=st.floats(0.1, 12.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.journal(self.catalog.expire(self.now))

    @invariant()
    def a_waiter_wakes_iff_its_answer_changed(self) -> None:
        after = self.watch()
        for topic, (index, answer) in after.items():
            old_index, old_answer = self.before[topic]
            assert index >= old_index
            assert (index > old_index) == (answer != old_answer), topic
        self.before = after

    @invariant()
    def nothing_is_due_before_soonest(self) -> None:
        due = [self.catalog._due_at(check) for check in self.catalog.checks()]
        assert all(self.catalog.soonest <= at for at in due)

    @invariant()
    def a_replayed_journal_gives_the_same_registrations(self) -> None:
        replayed = Catalog()
        replayed.restore(self.services.values(), self.checks.values(), 0.0)
        for ours, theirs in ((self.catalog, replayed), (replayed, self.catalog)):
            assert [s.definition for s in ours.services()] == [s.definition for s in theirs.services()]
            assert [c.definition for c in ours.checks()] == [c.definition for c in theirs.checks()]
        for service in self.catalog.services():
            name = service.definition.name
            assert [s.definition for s in replayed.instances(name)] == [
                s.definition for s in self.catalog.instances(name)
            ]


TestCatalogMachine = CatalogMachine.TestCase
TestCatalogMachine.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
