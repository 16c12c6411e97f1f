from collections.abc import Iterable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from registry.merge import Known, believe, from_disk, judge, merge, nothing_known
from registry.model import (
    FILTERED,
    NO_LEADER,
    Endpoint,
    Failed,
    Gone,
    Health,
    Instance,
    InstanceId,
    Quarantined,
    Seen,
    ServiceName,
    Source,
    Status,
    Update,
    Verdict,
)

WEB = ServiceName("web")
DOWN = Failed("unreachable", "nobody answers")


def instance(name: str, health: Health = Health.PASSING, port: int = 80) -> Instance:
    return Instance(InstanceId(name), WEB, "10.0.0.1", port, "10.0.0.1", health=health)


def seen(names: Iterable[str], health: Health = Health.PASSING) -> Seen:
    return Seen(tuple(instance(name, health) for name in names))


def told(*updates: Update, known: Known | None = None, now: float = 0.0) -> Known:
    known = known or nothing_known(WEB)
    for update in updates:
        known = merge(known, update, now)
    return known


def ids(known: Known) -> str:
    return "".join(i.id for i in known.snapshot.usable)


def suspects(known: Known) -> str:
    return "".join(i.id for i in known.suspects)


def test_empty_unknown_and_unreachable_are_three_values() -> None:
    assert told().snapshot.status is Status.UNREACHABLE
    assert told(DOWN).snapshot.status is Status.UNREACHABLE
    assert told(Gone()).snapshot.status is Status.UNKNOWN
    emptied = told(seen("a"), Gone()).snapshot
    assert (emptied.status, emptied.instances) == (Status.KNOWN, ())


def test_a_failure_says_why_and_keeps_everything_with_its_age() -> None:
    before = told(seen("abc"), now=5.0).snapshot
    after = told(DOWN, known=Known(before), now=9.0).snapshot
    assert after.failure == "unreachable"
    assert after.instances is before.instances
    assert after.usable is before.usable
    assert after.age_s(9.0) == 4.0
    assert after.version == before.version + 1
    assert told(DOWN, known=Known(after)).snapshot == after, "the tenth failure is no news"
    assert told(seen("abc"), known=Known(after)).snapshot.failure is None


def test_the_same_answer_again_changes_nothing_but_the_age() -> None:
    before = told(seen("abc"), now=1.0).snapshot
    after = told(seen("cab"), known=Known(before), now=31.0).snapshot
    assert after == replace(before, answered_at=31.0)
    assert after.instances is before.instances
    assert after.usable is before.usable


def test_a_small_removal_is_believed_at_once() -> None:
    assert ids(told(seen("abcd"), seen("ab"))) == "ab"
    assert ids(told(seen("ab"), seen("a"))) == "a"
    assert ids(told(seen("ab"), Gone())) == ""


def test_losing_more_than_half_of_three_or_more_makes_suspects_that_stay_usable() -> None:
    for update in (Gone(), seen("a"), Seen((), (Quarantined("x", WEB, "bad_port", "0"),))):
        known = told(seen("abc"), update)
        assert ids(known) == "abc"
        assert set(suspects(known)) == set("abc") - {i.id for i in getattr(update, "instances", ())}


def test_only_usable_instances_become_suspects() -> None:
    mixed = Seen((instance("a"), instance("b", Health.CRITICAL), instance("c", Health.MAINTENANCE)))
    known = told(mixed, Gone())
    assert ids(known) == "a"
    assert len(known.snapshot.instances) == 1


def test_the_registry_is_believed_once_the_time_is_over() -> None:
    known = merge(told(seen("abc")), Gone(), 100.0, suspect_s=10.0)
    assert ids(believe(known, 109.9)) == "abc"
    over = believe(known, 110.0)
    assert (ids(over), over.snapshot.status) == ("", Status.KNOWN)
    assert over.snapshot.version == known.snapshot.version + 1
    assert over.deadlines == {}


def test_a_suspect_that_refuses_is_dropped_alone() -> None:
    known = told(seen("abc"), Gone())
    assert ids(believe(known, 1.0, [known.suspects[1]])) == "ac"
    assert believe(known, 1.0) is known


def test_a_refusal_says_nothing_of_an_instance_that_came_back_meanwhile() -> None:
    known = told(seen("abc"), Gone())
    refused = known.suspects
    assert ids(believe(told(seen("abc"), known=known), 1.0, refused)) == "abc"
    elsewhere = Seen(tuple(instance(n, port=81) for n in "abc"))
    assert ids(believe(told(elsewhere, Gone(), known=known), 1.0, refused)) == "abc"


def test_suspects_that_register_again_one_by_one_do_not_cost_the_others_their_time() -> None:
    known = merge(told(seen("abc")), Gone(), 100.0)
    for back in ("a", "ab"):
        known = merge(known, seen(back), 101.0)
        assert ids(known) == "abc"
    assert suspects(known) == "c"
    assert suspects(merge(known, seen("abc"), 102.0)) == ""
    assert ids(believe(known, 110.0)) == "ab"


def test_further_bad_news_never_extends_a_deadline() -> None:
    known = merge(told(seen("abcde")), seen("ab"), 100.0)
    for now, update in ((104.0, DOWN), (105.0, seen("ab")), (106.0, seen("a")), (107.0, Gone())):
        known = merge(known, update, now)
    assert dict(known.deadlines) == {"a": 117.0, "b": 116.0, "c": 110.0, "d": 110.0, "e": 110.0}
    assert ids(believe(known, 110.0)) == "ab"
    assert ids(believe(known, 117.0)) == ""


def test_an_instance_that_flaps_gets_a_new_deadline_only_for_a_new_absence() -> None:
    known = merge(told(seen("abc")), Gone(), 100.0)
    known = merge(known, seen("abc"), 105.0)
    assert known.deadlines == {}
    assert merge(known, Gone(), 108.0).deadlines == {"a": 118.0, "b": 118.0, "c": 118.0}


def test_a_service_that_was_emptied_and_never_seen_again_stays_known() -> None:
    assert told(seen("a"), Gone(), Gone(), DOWN, Gone()).snapshot.status is Status.KNOWN
    assert told(Gone(), DOWN, Gone()).snapshot.status is Status.UNKNOWN


def test_a_registry_that_was_away_and_lost_everything_is_doubted_whatever_the_size() -> None:
    known = told(seen("ab"), DOWN, Gone())
    assert (ids(known), suspects(known)) == ("ab", "ab")
    assert ids(believe(known, 9.9)) == "ab"
    assert ids(believe(known, 10.0)) == ""


def test_checks_that_nobody_could_feed_while_the_registry_was_away_are_doubted() -> None:
    known = told(seen("ab"), DOWN, seen("ab"), seen("ab", Health.CRITICAL))
    assert (ids(known), suspects(known)) == ("ab", "ab")
    fed = told(Seen((instance("a"), instance("b", Health.CRITICAL))), known=known, now=3.0)
    assert (ids(fed), suspects(fed)) == ("ab", "b")
    over = believe(fed, 10.0)
    assert (ids(over), suspects(over)) == ("a", "")
    assert [i.health for i in over.snapshot.instances] == [Health.PASSING, Health.CRITICAL]


def test_a_doubted_instance_that_refuses_connections_is_what_the_registry_says_it_is() -> None:
    known = told(seen("ab"), DOWN, seen("ab", Health.CRITICAL))
    refused = believe(known, 1.0, [known.suspects[0]])
    assert (ids(refused), suspects(refused)) == ("b", "b")
    assert refused.snapshot.instances[0] == instance("a", Health.CRITICAL)
    assert ids(told(seen("ab", Health.CRITICAL), known=refused, now=2.0)) == "b", "it is not doubted again"


def test_what_an_operator_says_after_an_outage_is_believed_at_once() -> None:
    known = told(seen("ab"), DOWN, seen("ab", Health.MAINTENANCE))
    assert (ids(known), suspects(known)) == ("", "")


def test_doubt_ends_some_time_after_the_registry_is_back() -> None:
    back = told(seen("ab"), DOWN, seen("ab"))
    assert ids(told(seen("a"), known=back, now=9.9)) == "ab"
    assert ids(told(seen("a"), known=back, now=10.0)) == "a"


def test_where_the_settings_say_that_it_is_now_is_believed_whole() -> None:
    before = replace(told(seen("abc"), Gone(), DOWN), renewed=True)
    assert ids(before) == "abc", "used until somebody answers"
    away = merge(before, DOWN, 1.0)
    assert ids(away) == "abc"
    there = merge(judge(away, verdicts(a=UP), 1.0), seen("x"), 1.0)
    assert (ids(there), suspects(there), there.deadlines) == ("x", "", {})
    assert suspects(merge(merge(there, seen("xyz"), 1.0), Gone(), 1.0)) == "xyz", (
        "and what follows is doubted"
    )


def test_a_service_that_the_settings_name_no_more_is_unknown_as_it_was() -> None:
    gone = merge(replace(told(seen("abc")), renewed=True), Gone(), 1.0)
    assert (ids(gone), gone.snapshot.status) == ("", Status.UNKNOWN)


def test_a_critical_check_is_believed_while_the_registry_was_never_away() -> None:
    assert ids(told(seen("abc"), seen("abc", Health.CRITICAL))) == ""


# What our own checks say.


def verdicts(**by_name: Verdict) -> dict[Endpoint, Verdict]:
    return {instance(name).endpoint: verdict for name, verdict in by_name.items()}


UP, DOWN_, UNCHECKED = Verdict.UP, Verdict.DOWN, Verdict.UNCHECKED


def test_a_discovered_instance_that_our_checks_call_down_is_not_used() -> None:
    known = judge(told(seen("abc")), verdicts(a=UP, b=DOWN_), 1.0)
    assert [i.verdict for i in known.snapshot.instances] == [UP, DOWN_, UNCHECKED]
    assert ids(known) == "ac"
    assert known.snapshot.version == 2
    assert judge(known, verdicts(a=UP, b=DOWN_), 2.0).snapshot.instances is known.snapshot.instances
    assert ids(judge(known, {}, 2.0)) == "abc", "checks that were switched off say nothing"


def test_a_verdict_belongs_to_a_place_and_outlives_what_the_registry_says_of_it() -> None:
    known = judge(told(seen("ab")), verdicts(a=DOWN_, b=UP), 1.0)
    assert ids(merge(known, seen("ab", Health.WARNING), 2.0)) == "b"
    moved = merge(known, Seen((instance("a", port=81), instance("b"))), 2.0)
    assert [i.verdict for i in moved.snapshot.instances] == [UNCHECKED, UP]


def test_a_registry_that_calls_it_critical_is_not_overruled_by_our_checks() -> None:
    assert ids(judge(told(seen("a", Health.CRITICAL)), verdicts(a=UP), 1.0)) == ""


def test_suspects_that_answer_our_checks_outlive_their_deadline_and_those_that_fail_are_gone_at_once() -> (
    None
):
    known = merge(judge(told(seen("abc")), verdicts(a=UP, b=UP), 1.0), Gone(), 100.0, suspect_s=10.0)
    assert suspects(known) == "abc"
    over = believe(known, 110.0)
    assert suspects(over) == "ab", "nothing speaks for c any more"
    assert ids(judge(over, verdicts(a=UP, b=DOWN_), 5000.0)) == "a"
    assert ids(judge(over, {}, 5000.0)) == ""


def test_our_checks_vouch_for_what_is_absent_and_not_for_what_is_called_critical_all_the_time() -> None:
    known = judge(told(seen("ab"), DOWN, seen("ab", Health.CRITICAL)), verdicts(a=UP, b=UP), 1.0)
    assert suspects(known) == "ab"
    assert ids(believe(known, 10.0)) == ""


def test_a_small_loss_is_believed_at_once_whatever_our_checks_say() -> None:
    known = judge(told(seen("abcd")), verdicts(a=UP, b=UP, c=UP, d=UP), 1.0)
    assert ids(merge(known, seen("abc"), 2.0)) == "abc"


def test_what_was_down_and_vanishes_is_gone_even_when_the_loss_is_doubted() -> None:
    known = judge(told(seen("abc")), verdicts(a=DOWN_), 1.0)
    assert suspects(merge(known, Gone(), 2.0)) == "bc"


# A start from the disk, and answers with a note.


def test_what_the_disk_says_is_used_until_the_registry_answers() -> None:
    known = from_disk(WEB, seen("ba").instances, -30.0)
    assert (ids(known), known.snapshot.source, known.snapshot.age_s(0.0)) == ("ab", Source.DISK, 30.0)
    away = merge(known, DOWN, 1.0)
    assert (ids(away), away.snapshot.source, away.snapshot.failure) == ("ab", Source.DISK, "unreachable")
    there = merge(away, seen("ab"), 2.0)
    assert (ids(there), there.snapshot.source) == ("ab", Source.REGISTRY)
    assert there.snapshot.instances is known.snapshot.instances
    assert there.snapshot.version > away.snapshot.version


def test_a_registry_that_lost_what_the_disk_knows_is_doubted_for_a_while() -> None:
    empty = merge(from_disk(WEB, seen("ab").instances, -30.0), Gone(), 0.0)
    assert (ids(empty), suspects(empty)) == ("ab", "ab")
    assert ids(believe(empty, 10.0)) == ""


def test_an_answer_that_is_filtered_removes_nobody_at_once() -> None:
    known = told(seen("abcd"), Seen(seen("abc").instances, note=FILTERED))
    assert (ids(known), suspects(known), known.snapshot.note) == ("abcd", "d", "filtered")
    assert ids(believe(known, 10.0)) == "abc"


def test_a_registry_without_a_leader_is_believed_and_it_shows() -> None:
    known = told(seen("abcd"), Seen(seen("abc").instances, note=NO_LEADER))
    assert (ids(known), known.snapshot.note, known.snapshot.failure) == ("abc", "no_leader", None)
    assert told(Gone(NO_LEADER), known=known).snapshot.note == "no_leader"
    back = told(seen("abc"), known=known)
    assert (back.snapshot.note, back.snapshot.version) == (None, known.snapshot.version + 1)


registrations = st.lists(
    st.builds(instance, st.sampled_from("abcdef"), st.sampled_from(Health), st.sampled_from([80, 81])),
    max_size=6,
    unique_by=lambda i: i.id,
)
updates = st.one_of(
    st.just(Gone()),
    st.builds(Failed, st.sampled_from(["unreachable", "denied", "bad_answer", "silent"]), st.just("")),
    st.builds(
        lambda found, note: Seen(tuple(found), note=note), registrations, st.none() | st.just(FILTERED)
    ),
)


class AnyHistory(RuleBasedStateMachine):
    """Answers, failures, refusals and time in any order."""

    SUSPECT_S = 10.0

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.known = nothing_known(WEB)
        self.last_told: dict[str, float] = {}

    def become(self, known: Known) -> None:
        before, after = self.known.snapshot, known.snapshot
        content = replace(after, version=0, answered_at=None)
        if content == replace(before, version=0, answered_at=None):
            assert after.version == before.version
            assert after.instances is before.instances
        else:
            assert after.version == before.version + 1
        self.known = known

    @rule(update=updates)
    def an_update(self, update: Update) -> None:
        before = self.known
        self.become(merge(before, update, self.now, suspect_s=self.SUSPECT_S))
        after = self.known.snapshot
        if isinstance(update, Failed):
            assert after.instances == before.snapshot.instances, "a failure removed an instance"
            assert after.status is before.snapshot.status
            assert after.failure == update.reason
            return
        assert after.answered_at == self.now
        present = {i.id: i for i in update.instances} if isinstance(update, Seen) else {}
        shown = {i.id: i for i in after.instances}
        certain = [replace(i, verdict=Verdict.UNCHECKED) for i in after.instances if not i.suspect]
        assert {i.id: i for i in certain}.items() <= present.items()
        for name, said in present.items():
            assert replace(shown[name], verdict=Verdict.UNCHECKED) == said or (
                said.health is Health.CRITICAL and shown[name].suspect
            )
        self.last_told.update(dict.fromkeys(present, self.now))

    @rule(seconds=st.floats(0.1, 12.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.become(believe(self.known, self.now))

    @rule(data=st.data())
    def we_judge(self, data: st.DataObject) -> None:
        standing = self.known.snapshot.instances
        verdicts = {i.endpoint: data.draw(st.sampled_from(Verdict)) for i in standing}
        self.become(judge(self.known, verdicts, self.now))
        for i in self.known.snapshot.instances:
            assert i.verdict is verdicts.get(i.endpoint, Verdict.UNCHECKED)
            assert not (i.suspect and i.verdict is Verdict.DOWN)

    @rule(data=st.data())
    def some_refuse(self, data: st.DataObject) -> None:
        standing = self.known.snapshot.instances
        refused = data.draw(st.lists(st.sampled_from(standing), unique_by=id)) if standing else []
        self.become(believe(self.known, self.now, refused))
        left = {i.id for i in self.known.snapshot.instances}
        still_named = {i.id for i in self.known.said}
        assert left == {i.id for i in standing} - ({i.id for i in refused if i.suspect} - still_named)

    @invariant()
    def usable_is_what_calls_may_go_to(self) -> None:
        snapshot = self.known.snapshot
        assert snapshot.usable == tuple(
            i for i in snapshot.instances if i.health.usable and i.verdict is not Verdict.DOWN
        )
        assert len({i.id for i in snapshot.instances}) == len(snapshot.instances)

    @invariant()
    def suspicion_is_bounded_in_time_unless_we_vouch(self) -> None:
        assert set(self.known.deadlines) == {i.id for i in self.known.suspects}
        for suspect in self.known.suspects:
            assert self.known.deadlines[suspect.id] <= self.now + self.SUSPECT_S
            assert self.known.deadlines[suspect.id] > self.now or suspect.verdict is Verdict.UP

    @invariant()
    def a_status_says_what_is_known(self) -> None:
        snapshot = self.known.snapshot
        if snapshot.instances:
            assert snapshot.status is Status.KNOWN
        assert (snapshot.status is Status.UNREACHABLE) == (snapshot.answered_at is None)


TestAnyHistory = AnyHistory.TestCase


@given(st.sampled_from("abcdef"), st.lists(updates, max_size=30), st.floats(0.01, 5.0))
def test_what_the_registry_no_longer_names_is_gone_after_suspect_s_whatever_it_says_meanwhile(
    lost: str, said: list[Update], step: float
) -> None:
    known, now = told(seen("abcdef")), 0.0
    for update in said:
        now += step
        if isinstance(update, Seen):
            update = Seen(tuple(i for i in update.instances if i.id != lost))
        known = believe(merge(known, update, now, suspect_s=10.0), now)
    first_answer = next((n for n, u in enumerate(said, 1) if not isinstance(u, Failed)), None)
    if first_answer is not None and now >= first_answer * step + 10.0:
        assert lost not in {i.id for i in known.snapshot.instances}
