"""A fleet in virtual time, with the faults of a bad day, around any ledger or store.

Handler processes run the SDK's own decisions (gate, outbox, ticket check) with clocks a second off.
Reports are lost, doubled, reordered and late; processes crash and come back; clients use tickets
late, twice, at the wrong door, or never. Everything a store answers is compared with the oracle, and
the invariants of ALLOCATION 2.11 are checked against what the processes really hold.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from handlers.admission import AdmissionLedger, Entry
from handlers.closing import Refusal, TurnedAway
from handlers.model import (
    DrainOrder,
    HandlerId,
    Hello,
    Jti,
    Known,
    PoolSettings,
    Report,
    ReportRefusal,
    ReportRefused,
    Seat,
    SeatRefused,
    SeatRequest,
    Uid,
)
from handlers.outbox import Outbox
from handlers.placement import replay
from handlers.throttle import SLACK
from handlers.ticket import Gatekeeper, TicketClaims, TicketSecrets, sign, verify
from tests.handlers.oracle import Oracle
from tests.handlers.subjects import Subject

POOL = PoolSettings(
    capacity=1, guaranteed_s=4.0, ticket_s=12.0, dead_after_s=3.0, seats_per_user=3, moving_s=6.0, drain_s=5.0
)
"""Small and short, so that a random day meets full handlers and ends of guarantees all the time."""
THROTTLED = replace(POOL, capacity=5, joins_per_s=0.5, joins_burst=1, slow_start_s=6.0, horizon_s=9.0)
"""So slow that handlers are out of tokens as often as they are full, or oftener."""
SECRETS = TicketSecrets("the-secret-of-the-machines-fleet")
UNIX = 1_700_000_000.0
LATEST_S = 1.0
"""A report under way for longer has timed out, and its connection with it."""
CAPACITY = {HandlerId("A"): 1, HandlerId("B"): 2, HandlerId("C"): 2}
SKEW_S = {HandlerId("A"): -1.0, HandlerId("B"): 0.0, HandlerId("C"): 1.0}
PLAIN = HandlerId("P")
"""A handler without the SDK: only registered, counted by its reservations alone."""


@dataclass
class Process:
    """One incarnation of a handler process: the SDK's decisions, without its sockets."""

    id: HandlerId
    epoch: int
    capacity: int
    gate: AdmissionLedger = field(init=False)
    outbox: Outbox = field(init=False)
    sockets: set[Jti] = field(default_factory=set)
    seq: int = 0
    counted_from: int = 0
    """It let somebody in on a ticket that the store did not vouch for, because no gateway answered or
    because the ticket of an aborted request was used all the same: the store knows from this report on."""

    def __post_init__(self) -> None:
        self.gate = AdmissionLedger(self.capacity)
        self.outbox = Outbox(self.id, self.epoch)

    def hello(self) -> Hello:
        known = self.outbox.unconfirmed
        url = f"http://{self.id}:1"
        return Hello(
            self.id, self.epoch, url, "/ws", self.capacity, known=known, connections=len(self.sockets)
        )

    def gatekeeper(self) -> Gatekeeper:
        key = SECRETS.key_for(self.id, self.epoch)
        return Gatekeeper(self.id, self.epoch, SECRETS.issuer, {key.kid: key.key})


@dataclass
class Ticket:
    text: str
    seat: Seat
    sure: bool
    """The store knew of everybody at that handler when it promised this place, and nobody came since
    whom it did not vouch for: within its guarantee this ticket must find its place."""
    taken_back: bool = False


class SeatMachine(RuleBasedStateMachine):
    """Subclasses say what `open` gives."""

    open: Callable[[PoolSettings, Callable[[], float]], Subject]
    pool = POOL

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.subject = type(self).open(self.pool, lambda: self.now)
        self.oracle = Oracle(self.pool)
        self.processes: dict[HandlerId, Process | None] = {}
        self.last_epoch = 0
        self.under_way: list[tuple[float, Hello | Report]] = []
        self.tickets: list[Ticket] = []
        self.admissions: Counter[Jti] = Counter()
        self.slots: list[float] = []
        self.index = 0
        self.listed: dict[HandlerId, str] = {}
        self.names = 0

    @initialize()
    def fleet_starts(self) -> None:
        for name in CAPACITY:
            self._start(name)
            self._deliver(self.under_way.pop()[1], ack=True)
        self._sync({PLAIN: "passing"})

    # --- time and network ------------------------------------------------------------------------

    @rule(
        seconds=st.sampled_from([0.1, 0.5, 0.9, 1.5, 1.9, 2.5, 2.9, 3.0]),
        heard=st.just(frozenset(CAPACITY)) | st.frozensets(st.sampled_from(list(CAPACITY))),
        sweep=st.booleans(),
    )
    def time_passes(self, seconds: float, heard: frozenset[HandlerId], sweep: bool) -> None:
        """The reports of `heard` get through in the meantime."""
        for name in sorted(heard):
            self._report_now(name)
        self.now += seconds
        self.under_way = [(at, what) for at, what in self.under_way if self.now - at <= LATEST_S]
        self.oracle.settle(self.now)
        if sweep:
            self.subject.sweep()
            self.oracle.forget()

    @rule()
    def long_silence(self) -> None:
        self.now += 61.0
        self.under_way.clear()
        self.oracle.settle(self.now)

    @rule(name=st.sampled_from(list(CAPACITY)), leaving=st.booleans())
    def process_reports(self, name: HandlerId, leaving: bool) -> None:
        if (process := self.processes[name]) is not None:
            self._send_report(process, leaving=leaving)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 50), twice=st.booleans(), ack=st.booleans())
    def network_delivers(self, which: int, twice: bool, ack: bool) -> None:
        which %= len(self.under_way)
        _, what = self.under_way[which]
        if not twice:
            del self.under_way[which]
        self._deliver(what, ack=ack)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, 50))
    def network_loses(self, which: int) -> None:
        del self.under_way[which % len(self.under_way)]

    @rule(name=st.sampled_from(list(CAPACITY)))
    def report_gets_through(self, name: HandlerId) -> None:
        self._report_now(name)

    # --- processes, operators, the registry ------------------------------------------------------

    @rule(name=st.sampled_from(list(CAPACITY)))
    def process_crashes_or_starts(self, name: HandlerId) -> None:
        if self.processes[name] is None:
            self._start(name)
        else:
            self.processes[name] = None

    @rule(
        name=st.sampled_from([*CAPACITY, PLAIN]),
        order=st.none() | st.builds(DrainOrder, st.sampled_from([2.0, 30.0]), st.none() | st.just(8.0)),
    )
    def operator_drains(self, name: HandlerId, order: DrainOrder | None) -> None:
        assert self.subject.drain(name, order) is self.oracle.drain(name, order)

    @rule(
        listed=st.dictionaries(
            st.sampled_from([*CAPACITY, PLAIN]),
            st.sampled_from(["passing", "passing", "passing", "failing", "maintenance"]),
        ),
        old=st.booleans(),
    )
    def registry_speaks(self, listed: dict[HandlerId, str], old: bool) -> None:
        self._sync(listed, old=old)

    @rule()
    def registry_lists_all(self) -> None:
        self._sync(dict.fromkeys([*CAPACITY, PLAIN], "passing"))

    @precondition(lambda self: self.subject.can_be_emptied)
    @rule()
    def store_is_lost(self) -> None:
        """I13: it forgets everybody, and from each process's next report on it is exact again."""
        self.subject.empty()
        self.oracle.lose_all()
        self.slots.clear()
        self.oracle.sync(self.index, self.listed, tuple(CAPACITY))
        for process in self.processes.values():
            if process is not None:
                self._unvouched(process)
        for ticket in self.tickets:
            ticket.taken_back = True

    # --- clients ---------------------------------------------------------------------------------

    @rule(
        uid=st.sampled_from("uvwx"),
        client=st.none() | st.sampled_from(["phone", "tablet"]),
        last=st.none() | st.sampled_from([*CAPACITY, PLAIN]),
        exclude=st.frozensets(st.sampled_from([*CAPACITY, PLAIN]), max_size=2) | st.just(frozenset()),
        slot=st.none() | st.integers(0, 5),
    )
    def client_asks(
        self,
        uid: str,
        client: str | None,
        last: HandlerId | None,
        exclude: frozenset[HandlerId],
        slot: int | None,
    ) -> None:
        """Maybe with an appointment of its own or of another, too early, in time, late, or a second time."""
        kept = None if slot is None or not self.slots else self.slots[-1 - slot % len(self.slots)]
        self._ask_for_seat(SeatRequest(Uid(uid), Jti(""), client, last, exclude, kept))

    @rule(name=st.sampled_from(list(CAPACITY)))
    def clients_can_not_reach_it(self, name: HandlerId) -> None:
        for uid in "uvw":
            self._ask_for_seat(SeatRequest(Uid(uid), Jti(""), exclude=frozenset({name})))

    @rule()
    def those_with_an_appointment_come(self) -> None:
        """At its time each, and nobody else comes meanwhile."""
        for slot in self.slots[-3:]:
            if slot > self.now:
                self.now = slot
                self.oracle.settle(self.now)
            self._ask_for_seat(SeatRequest(Uid(f"slot {slot}"), Jti(""), slot=slot))

    @rule(uid=st.sampled_from("uvwx"), shows_at_once=st.booleans())
    def hoarder_comes(self, uid: str, shows_at_once: bool) -> None:
        """One user takes all seats there are to get, and shows every ticket."""
        mine = []
        for _ in range(2 * self.pool.seats_per_user):
            if (ticket := self._ask_for_seat(SeatRequest(Uid(uid), Jti("")))) is not None:
                mine.append(ticket)
                if shows_at_once:
                    self._show(ticket)
        for ticket in mine:
            self._show(ticket)

    @rule(
        name=st.sampled_from(list(CAPACITY)),
        uids=st.text("uvwx", min_size=1, max_size=4),
        again=st.booleans(),
    )
    def handler_moves_its_clients(self, name: HandlerId, uids: str, again: bool) -> None:
        """`again`: the answer got lost, and the handler asks once more."""
        for _ in range(1 + again):
            requests = []
            for uid in uids:
                self.names += 1
                request = SeatRequest(Uid(uid), Jti(f"t{self.names}"), f"move:{uid}", moving=True)
                requests.append(request._replace(exclude=frozenset({name})))
            answers = self.subject.batch_alloc(requests)
            for request, answer in zip(requests, answers, strict=True):
                self._check_answer(request, answer)

    def _ask_for_seat(self, request: SeatRequest) -> Ticket | None:
        """The ticket, if the answer is a new one."""
        self.names += 1
        request = request._replace(jti=Jti(f"t{self.names}"))
        return self._check_answer(request, self.subject.alloc(request))

    def _check_answer(self, request: SeatRequest, answer: Seat | SeatRefused) -> Ticket | None:
        if (repeated := self.oracle.repeated(request)) is not None:
            self.oracle.seats[repeated].shared = True
            assert isinstance(answer, Seat)
            assert answer.jti == repeated
            return None
        self.oracle.doubt(request)
        given = len(self.oracle.slots)
        wanted = self.oracle.choice(request)  # I2, I3 and I8: exactly this one, or exactly this no
        if isinstance(answer, SeatRefused):
            assert (answer.reason, answer.slot) == wanted
            if len(self.oracle.slots) > given:
                self._check_appointment(answer)
            longest_s = max(self.pool.moving_s + self.pool.dead_after_s + 1, self.pool.horizon_s)
            assert 0 < answer.retry_after_s <= longest_s
            return None
        assert answer.handler == wanted
        self._check_decision(request, answer)
        self.oracle.reserve(request, answer.handler)
        self._check_rate(answer)
        assert answer.held_until == self.oracle.seats[request.jti].held_until
        self._check_capacity(answer.handler)
        return self._issue(answer)

    @precondition(lambda self: self.tickets)
    @rule(which=st.integers(0, 200))
    def request_is_aborted(self, which: int) -> None:
        ticket = self.tickets[which % len(self.tickets)]
        cancelled = self.subject.cancel(ticket.seat.jti)
        assert cancelled is self.oracle.cancel(ticket.seat.jti)
        if cancelled:
            self._take_back(ticket.seat.jti)

    @precondition(lambda self: self.tickets)
    @rule(
        back=st.integers(0, 8),
        reachable=st.booleans() | st.just(True),
        door=st.none() | st.sampled_from("ABC"),
    )
    def client_connects(self, back: int, reachable: bool, door: str | None) -> None:
        """With a new ticket or an old one, used or not, at its own door or another."""
        ticket = self.tickets[-1 - back % len(self.tickets)]
        self._show(ticket, HandlerId(door) if door else None, reachable=reachable)

    def _show(self, ticket: Ticket, door: HandlerId | None = None, *, reachable: bool = True) -> None:
        process = self.processes.get(door or ticket.seat.handler)
        if process is None:
            return
        now = UNIX + self.now + SKEW_S[process.id]
        claims = verify(ticket.text, process.gatekeeper(), now)
        if isinstance(claims, TurnedAway):
            return
        assert (process.id, process.epoch) == (ticket.seat.handler, ticket.seat.epoch)  # I6
        process.gate.draining = False
        entry = process.gate.present(claims, now)
        if entry is Entry.ASK:
            room = self._ask(process, claims.jti) if reachable else None
            if room is None:
                self._unvouched(process)
            if process.gate.answered(claims.jti, room=room) is not None:
                return
        elif entry is Entry.ADMITTED:
            if ticket.taken_back:
                self._unvouched(process)
        else:
            if ticket.sure and self.now < ticket.seat.guaranteed_until:
                assert entry.reason is not Refusal.FULL  # a promised place is there
            return
        self.admissions[claims.jti] += 1
        process.sockets.add(claims.jti)
        process.outbox.admitted(claims.jti)

    @rule(name=st.sampled_from(list(CAPACITY)), which=st.integers(0, 10))
    def client_leaves(self, name: HandlerId, which: int) -> None:
        process = self.processes[name]
        if process is not None and process.sockets:
            jti = sorted(process.sockets)[which % len(process.sockets)]
            process.sockets.remove(jti)
            process.gate.leave(jti)
            process.outbox.left(jti)

    # --- always ----------------------------------------------------------------------------------

    @invariant()
    def each_ticket_lets_in_once(self) -> None:
        assert not [jti for jti, times in self.admissions.items() if times > 1]  # I7

    @invariant()
    def no_process_has_more_clients_than_places(self) -> None:
        for process in self.processes.values():
            if process is not None:
                assert len(process.sockets) == process.gate.connections <= process.capacity

    @invariant()
    def the_store_counts_as_the_oracle_does(self) -> None:
        counted = {state.id: state for state in self.subject.states()}
        assert set(counted) == set(self.oracle.handlers)
        room = {handler.id for handler in self.oracle.with_room(())}
        for name, handler in self.oracle.handlers.items():
            state = counted[name]
            assert (state.epoch, state.connections) == (handler.epoch, handler.connections)
            assert state.held == len(self.oracle.held(name))
            assert state.eligible is (name in room)
            assert state.eligible is (state.why_not == "")
            assert state.joins_per_s == pytest.approx(self.oracle.rate(handler))
            assert (state.tokens >= 1) is (handler.ready_at <= self.now)
            assert state.drain == handler.order(self.now)  # I12, the store's half: until when

    def teardown(self) -> None:
        """After the bad day: one report each and every count is right; one hold and no seat is leaked."""
        try:
            if self.processes:
                self._heal()
        finally:
            self.subject.close()

    def _heal(self) -> None:
        self.under_way.clear()
        for name in CAPACITY:
            self._report_now(name)
        counted = {state.id: state for state in self.subject.states()}
        for name, process in self.processes.items():
            if process is not None:
                assert counted[name].connections == len(process.sockets)  # I5
        self.now += max(self.pool.hold_s, self.pool.moving_s + self.pool.dead_after_s)
        assert all(state.held == 0 for state in self.subject.states())  # I4

    def _capacity(self, name: HandlerId) -> int:
        return CAPACITY[name] + self.pool.capacity - 1

    # --- one thing each --------------------------------------------------------------------------

    def _start(self, name: HandlerId) -> None:
        self.last_epoch += 1
        process = self.processes[name] = Process(name, self.last_epoch, self._capacity(name))
        self.under_way.append((self.now, process.hello()))

    def _report_now(self, name: HandlerId) -> None:
        """As the SDK does it: a report, and if we are forgotten a hello and another report."""
        process = self.processes[name]
        if process is None:
            return
        for _ in range(2):
            self._send_report(process)
            if self._deliver(self.under_way.pop()[1], ack=True) is None:
                return
            self._deliver(process.hello(), ack=True)
        raise AssertionError("a process that said hello is not known")

    def _send_report(self, process: Process, *, leaving: bool = False) -> None:
        process.seq += 1
        self.under_way.append((self.now, process.outbox.report(len(process.sockets), leaving=leaving)))

    def _deliver(self, what: Hello | Report, *, ack: bool) -> ReportRefusal | None:
        before = self.subject.states()
        said: DrainOrder | ReportRefused | None
        wanted: DrainOrder | ReportRefusal | None
        if isinstance(what, Hello):
            said, wanted = self.subject.hello(what), self.oracle.hello(what)
        else:
            said, wanted = self.subject.report(what), self.oracle.report(what)
        refusal = said.reason if isinstance(said, ReportRefused) else None
        assert (refusal or said) == wanted
        if refusal is not None:
            assert self.subject.states() == before  # I6
        process = self.processes.get(what.id)
        if not isinstance(what, Report) or not ack or refusal is not None:
            return refusal
        if process is not None and process.epoch == what.epoch:
            process.outbox.acknowledged(what)
        return refusal

    def _sync(self, listed: dict[HandlerId, str], *, old: bool = False) -> None:
        known = [
            Known(
                name,
                f"http://{name}:1",
                healthy=listing == "passing",
                draining=listing == "maintenance",
                speaks=name != PLAIN,
            )
            for name, listing in listed.items()
        ]
        for name in listed:
            if name != PLAIN and name not in self.oracle.handlers:
                return  # it would wait for its hello, which the oracle need not know about
        self.index += not old
        self.subject.sync(self.index, known)
        self.oracle.sync(self.index, listed, tuple(CAPACITY))
        if not old:
            self.listed = listed

    def _issue(self, seat: Seat) -> Ticket:
        claims = TicketClaims(
            issuer=SECRETS.issuer,
            handler=seat.handler,
            epoch=seat.epoch,
            uid=seat.uid,
            jti=seat.jti,
            issued_at=int(UNIX + seat.now),
            expires_at=int(UNIX + seat.ticket_until),
            guaranteed_until=UNIX + seat.guaranteed_until,
            session_id=seat.jti,
        )
        text = sign(claims, SECRETS.key_for(seat.handler, seat.epoch))
        ticket = Ticket(text, seat, sure=self._counted(seat.handler) is not None)
        self.tickets.append(ticket)
        return ticket

    def _check_appointment(self, refused: SeatRefused) -> None:
        """I11: one's own, after all others, and not far away."""
        assert refused.slot is not None
        assert refused.slot > max(self.slots, default=0.0)
        assert refused.slot - self.now == refused.retry_after_s
        assert refused.slot <= self.now + self.pool.horizon_s
        self.slots.append(refused.slot)

    def _check_rate(self, seat: Seat) -> None:
        """I10: no more clients in any time than its bucket lets through, while its process is known."""
        joins = self.oracle.handlers[seat.handler].joins
        joins.append(self.now)
        for count, start in enumerate(reversed(joins), start=1):
            most = self.pool.joins_burst + self.pool.joins_per_s * (self.now - start)
            assert count <= most + 2 * SLACK

    def _check_decision(self, request: SeatRequest, seat: Seat) -> None:
        """I15: its inputs are told, and lead to it again. I14: no affinity far above the mean."""
        decision = self.subject.decision(seat.sequence)
        assert decision is not None
        assert replay(decision, self.pool.affinity) == decision.chosen == seat.handler
        order = self.oracle.in_order(request.exclude)
        candidates = [(h.id, self.oracle.load(h), h.weight, h.allocated) for h in order]
        assert decision.candidates == tuple(candidates)
        mean = sum(map(self.oracle.share, order)) / len(order)
        chosen = self.oracle.share(self.oracle.handlers[seat.handler])
        assert chosen <= (1 + self.pool.affinity) * mean + 1

    def _take_back(self, jti: Jti) -> None:
        """Its request was aborted; the client may have used the ticket all the same, or may do so yet."""
        for ticket in self.tickets:
            if ticket.seat.jti == jti:
                ticket.taken_back = True
                process = self.processes.get(ticket.seat.handler)
                if process is not None and jti in process.sockets:
                    self._unvouched(process)

    def _unvouched(self, process: Process) -> None:
        """Somebody sits there of whom the store will learn with the next report."""
        process.counted_from = process.seq + 1
        for ticket in self.tickets:
            if ticket.seat.handler == process.id:
                ticket.sure = False

    def _ask(self, process: Process, jti: Jti) -> bool:
        room = self.subject.admit_late(process.id, process.epoch, jti)
        assert room is self.oracle.admit_late(process.id, process.epoch, jti)
        return room

    def _check_capacity(self, name: HandlerId) -> None:
        """I1: what is there and what is promised there fits, at the moment of the promise."""
        if (process := self._counted(name)) is not None:
            assert len(process.sockets | self.oracle.held(name)) <= process.capacity

    def _counted(self, name: HandlerId) -> Process | None:
        """The process, if the store has heard of everybody that it didn't vouch for."""
        process = self.processes.get(name)
        handler = self.oracle.handlers[name]
        if process is None or handler.epoch != process.epoch or handler.seq < process.counted_from:
            return None
        return process
