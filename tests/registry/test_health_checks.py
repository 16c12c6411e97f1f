from collections import Counter
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from registry.health_checks import (
    BURST,
    FIRST_WITHIN_S,
    JITTER,
    Answer,
    Change,
    CheckLedger,
    HealthCheckPolicy,
    Opinion,
    Question,
    judge_answer,
)
from registry.model import Instance, InstanceId, ServiceName, Verdict

WEB = ServiceName("web")
POLICY = HealthCheckPolicy(interval_s=5.0, up=2, down=3)
GOOD, BAD, NOTHING = Answer.GOOD, Answer.UNREACHABLE, Answer.NOT_ASKED


def instance(name: str, port: int = 80) -> Instance:
    return Instance(InstanceId(name), WEB, "10.0.0.1", port, "10.0.0.1")


def instances(names: str) -> list[Instance]:
    return [instance(name) for name in names]


def test_a_policy_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        HealthCheckPolicy().path = "/x"  # type: ignore[misc]


# One answer.


@pytest.mark.parametrize(
    ("status", "headers", "answer"),
    [
        (200, {"X-Service-Id": "web-1"}, Answer.GOOD),
        (399, {"X-Service-Id": "web-1", "Server": "x"}, Answer.GOOD),
        (200, {"X-Service-Id": "web-2"}, Answer.IDENTITY),
        (200, {}, Answer.IDENTITY),
        (503, {"X-Service-Id": "web-1"}, Answer.STATUS),
        (400, {}, Answer.STATUS),
        (101, {"X-Service-Id": "web-1"}, Answer.STATUS),
    ],
)
def test_an_answer_has_the_right_status_and_comes_from_the_right_process(
    status: int, headers: Mapping[str, str], answer: Answer
) -> None:
    policy = replace(POLICY, expect_headers={"X-Service-Id": "{id}"})
    assert judge_answer(policy, instance("web-1"), status, headers) is answer


def test_several_ranges_of_statuses() -> None:
    policy = replace(POLICY, statuses=((200, 200), (429, 430)))
    good = [s for s in range(100, 600) if judge_answer(policy, instance("a"), s, {}) is Answer.GOOD]
    assert good == [200, 429, 430]


# One opinion.


def verdicts(answers: str, start: Verdict = Verdict.UNCHECKED) -> list[str]:
    """The verdict after each answer: g good, b bad, n not asked."""
    opinion, after = Opinion(start), []
    for letter in answers:
        opinion = opinion.after({"g": GOOD, "b": BAD, "n": NOTHING}[letter], POLICY)
        after.append(opinion.verdict.value)
    return after


def test_the_first_good_answer_decides_and_bad_ones_need_their_number() -> None:
    assert verdicts("g") == ["up"]
    assert verdicts("bbb") == ["unchecked", "unchecked", "down"]
    assert verdicts("bbg") == ["unchecked", "unchecked", "up"]


def test_it_takes_answers_in_a_row_to_change_an_opinion() -> None:
    assert verdicts("bbgbbb", Verdict.UP) == ["up"] * 5 + ["down"]
    assert verdicts("gbgg", Verdict.DOWN) == ["down"] * 3 + ["up"]


def test_a_question_that_could_not_be_asked_changes_nothing() -> None:
    assert verdicts("nnnnn") == ["unchecked"] * 5
    assert verdicts("bbnnnnb", Verdict.UP) == ["up"] * 6 + ["down"]


@given(
    st.lists(st.sampled_from(Answer), max_size=40),
    st.integers(1, 5),
    st.integers(1, 5),
    st.sampled_from(Verdict),
)
def test_a_verdict_changes_only_after_so_many_answers_of_the_other_kind(
    answers: list[Answer], up: int, down: int, start: Verdict
) -> None:
    policy = replace(POLICY, up=up, down=down)
    opinion, told = Opinion(start), [a for a in answers if a is not Answer.NOT_ASKED]
    for number, answer in enumerate(told, 1):
        before, opinion = opinion.verdict, opinion.after(answer, policy)
        if opinion.verdict is before:
            continue
        good = opinion.verdict is Verdict.UP
        enough = 1 if good and before is Verdict.UNCHECKED else up if good else down
        last = told[:number][-enough:]
        assert len(last) == enough
        assert all((a is Answer.GOOD) is good for a in last)


# Whom to ask when.


def asked(ledger: CheckLedger, now: float, room: int = 1000) -> str:
    return "".join(sorted(q.instance.id for q in ledger.due(now, room)))


def test_newcomers_are_asked_soon_and_not_all_at_once() -> None:
    ledger = CheckLedger(Random(1), max_per_s=1e9)
    ledger.follow(WEB, [instance(f"{n}") for n in range(1000)], POLICY, 100.0)
    counts = [len(list(ledger.due(100.0 + step / 100, 1000))) for step in range(101)]
    assert sum(counts) == 1000
    assert sum(counts[:50]) < 600
    assert ledger.next_due() is None, "each waits for its answer"


def test_the_next_question_comes_an_interval_after_the_answer_give_or_take_a_tenth() -> None:
    ledger = CheckLedger(Random(2))
    ledger.follow(WEB, instances("a"), POLICY, 0.0)
    (question,) = ledger.due(1.0, 10)
    assert asked(ledger, 1e9) == "", "one question at a time"
    assert ledger.answered(question, GOOD, 50.0) == (Verdict.UNCHECKED, Verdict.UP)
    due = ledger.next_due()
    assert due is not None
    assert 50 + 5 * (1 - JITTER) <= due <= 50 + 5 * (1 + JITTER)


def test_until_there_is_a_first_verdict_it_is_asked_each_second() -> None:
    ledger, now = CheckLedger(Random(3)), 0.0
    ledger.follow(WEB, instances("a"), replace(POLICY, interval_s=60.0), now)
    changes = []
    for _ in range(3):
        now += FIRST_WITHIN_S * (1 + JITTER)
        (question,) = ledger.due(now, 10)
        changes.append(ledger.answered(question, BAD, now))
    assert changes == [None, None, (Verdict.UNCHECKED, Verdict.DOWN)]
    assert asked(ledger, now + 50) == ""


def test_so_many_questions_a_second_and_no_more_however_many_instances_there_are() -> None:
    ledger, now, turns = CheckLedger(Random(3), max_per_s=100.0), 0.0, Counter[str]()
    ledger.follow(WEB, [instance(f"{n}") for n in range(2000)], POLICY, now)
    questions = 0
    while now < 60.0:
        due = ledger.next_due()
        assert due is not None
        assert due >= now, "it would be asked again and again"
        now = max(now + 1e-6, due)
        for question in ledger.due(now, 1000):
            questions += 1
            turns[question.instance.id] += 1
            ledger.answered(question, GOOD, now)
    assert 100 * 59 <= questions <= 100 * 60 + BURST
    assert len(turns) == 2000
    assert set(turns.values()) <= {2, 3, 4}, "each as often as the others, as far as chance goes"


def test_who_waits_longest_gets_the_room_there_is() -> None:
    ledger = CheckLedger(Random(4))
    ledger.follow(WEB, instances("a"), POLICY, 0.0)
    ledger.follow(ServiceName("other"), instances("b"), POLICY, 100.0)
    assert asked(ledger, 1000.0, room=0) == ""
    assert asked(ledger, 1000.0, room=1) == "a"
    assert asked(ledger, 1000.0, room=1) == "b"


def test_who_is_gone_is_asked_no_more_and_a_late_answer_says_nothing() -> None:
    ledger = CheckLedger(Random(5))
    ledger.follow(WEB, instances("ab"), POLICY, 0.0)
    questions = {q.instance.id: q for q in ledger.due(10.0, 10)}
    ledger.answered(questions[InstanceId("b")], BAD, 10.0)
    left = ledger.follow(WEB, instances("b"), POLICY, 11.0)
    assert left == [(WEB, instance("a").endpoint)]
    ledger.follow(WEB, instances("ab"), POLICY, 12.0)
    assert ledger.answered(questions[InstanceId("a")], GOOD, 13.0) is None
    assert ledger.verdicts(WEB) == {i.endpoint: Verdict.UNCHECKED for i in instances("ab")}
    assert len(ledger) == 2


def test_another_place_is_another_question() -> None:
    ledger = CheckLedger(Random(6))
    ledger.follow(WEB, instances("a"), POLICY, 0.0)
    (question,) = ledger.due(10.0, 10)
    ledger.answered(question, GOOD, 10.0)
    ledger.follow(WEB, [replace(instance("a"), weight=7)], POLICY, 11.0)
    assert list(ledger.verdicts(WEB).values()) == [Verdict.UP]
    ledger.follow(WEB, [instance("a", port=81)], POLICY, 12.0)
    assert list(ledger.verdicts(WEB).values()) == [Verdict.UNCHECKED]


def test_a_new_policy_is_not_kept_waiting_by_the_pause_of_the_old_one() -> None:
    ledger = CheckLedger(Random(5))
    slow = replace(POLICY, interval_s=3600.0, path="/a-mistake")
    ledger.follow(WEB, instances("ab"), slow, 0.0)
    answered, under_way = ledger.due(1.0, 10)
    ledger.answered(answered, GOOD, 1.0)
    assert ledger.follow(WEB, instances("ab"), slow, 2.0) == []
    left = ledger.follow(WEB, instances("ab"), POLICY, 2.0)
    assert set(left) == {answered.place, under_way.place}, "who still asks as before may stop"
    assert ledger.answered(under_way, BAD, 2.5) is None
    assert not ledger.failed(WEB), "the answer to a question of before says nothing"
    assert [q.policy for q in ledger.due(2.0 + FIRST_WITHIN_S, 10)] == [POLICY, POLICY]
    assert ledger.verdicts(WEB)[answered.instance.endpoint] is Verdict.UP


def test_without_a_policy_nobody_is_asked_and_with_a_new_one_opinions_stay() -> None:
    ledger = CheckLedger(Random(7))
    ledger.follow(WEB, instances("a"), POLICY, 0.0)
    (question,) = ledger.due(10.0, 10)
    ledger.answered(question, GOOD, 10.0)
    ledger.follow(WEB, instances("a"), replace(POLICY, path="/other"), 11.0)
    assert list(ledger.verdicts(WEB).values()) == [Verdict.UP]
    (question,) = ledger.due(100.0, 10)
    assert question.policy.path == "/other"
    ledger.answered(question, BAD, 100.0)
    assert ledger.failed(WEB) == {"unreachable": 1}
    ledger.follow(WEB, instances("a"), None, 101.0)
    assert (asked(ledger, 1000.0), ledger.verdicts(WEB), ledger.failed(WEB)) == ("", {}, {})


def test_what_could_not_be_asked_is_counted_and_blames_nobody() -> None:
    ledger = CheckLedger(Random(8))
    ledger.follow(WEB, instances("a"), replace(POLICY, down=1), 0.0)
    (question,) = ledger.due(10.0, 10)
    assert ledger.answered(question, NOTHING, 10.0) is None
    assert ledger.failed(WEB) == {"not_asked": 1}


def test_how_long_the_latest_good_answer_took_is_known() -> None:
    ledger = CheckLedger(Random(8))
    ledger.follow(WEB, instances("ab"), POLICY, 0.0)
    one, other = ledger.due(10.0, 10)
    assert ledger.took_s(WEB) is None
    ledger.answered(one, GOOD, 10.25)
    ledger.answered(other, BAD, 11.0)
    assert ledger.took_s(WEB) == 0.25
    ledger.follow(WEB, (), None, 12.0)
    assert ledger.took_s(WEB) is None


def test_one_line() -> None:
    ledger = CheckLedger(Random(8))
    ledger.follow(WEB, instances("abc"), POLICY, 0.0)
    question = next(ledger.due(10.0, 1))
    ledger.answered(question, GOOD, 10.0)
    assert repr(ledger) == "<CheckLedger: 2 unchecked, 1 up, 0 down>"


class AnyDay(RuleBasedStateMachine):
    """Instances come and go, time passes, answers arrive late, twice or never."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger, self.now = CheckLedger(Random(9)), 0.0
        self.there: set[str] = set()
        self.under_way: list[Question] = []

    @rule(names=st.sets(st.sampled_from("abcdef")))
    def the_registry_says(self, names: set[str]) -> None:
        left = self.ledger.follow(WEB, instances("".join(names)), POLICY, self.now)
        assert {endpoint[0][0] for _, endpoint in left} == self.there - names
        self.under_way = [q for q in self.under_way if q.instance.id in names]
        self.there = names

    @rule(seconds=st.floats(0.0, 10.0), room=st.integers(0, 8))
    def time_passes(self, seconds: float, room: int) -> None:
        self.now += seconds
        questions = list(self.ledger.due(self.now, room))
        assert len(questions) <= room
        assert {q.instance.id for q in questions} <= self.there - {q.instance.id for q in self.under_way}
        self.under_way += questions

    @rule(data=st.data(), answer=st.sampled_from(Answer), twice=st.booleans())
    def an_answer(self, data: st.DataObject, answer: Answer, twice: bool) -> None:
        if not self.under_way:
            return
        question = data.draw(st.sampled_from(self.under_way))
        self.under_way.remove(question)
        before = self.ledger.verdicts(WEB)[question.instance.endpoint]
        changed = self.ledger.answered(question, answer, self.now)
        after = self.ledger.verdicts(WEB)[question.instance.endpoint]
        assert changed == (None if after is before else Change(before, after))
        if twice:
            assert self.ledger.answered(question, answer, self.now) is None

    @invariant()
    def everybody_is_asked_or_waits_for_it(self) -> None:
        assert {endpoint[0][0] for endpoint in self.ledger.verdicts(WEB)} == self.there
        assert len(self.ledger._due) <= 2 * len(self.there) + 16
        waiting = len(self.there) - len(self.under_way)
        due = self.ledger.next_due()
        assert waiting == 0 or (due is not None and due <= self.now + POLICY.interval_s * (1 + JITTER))


TestAnyDay = AnyDay.TestCase
