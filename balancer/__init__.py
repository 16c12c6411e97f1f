"""Which instance gets this call? And carries it there.

Map of the package:

    selection.py  snapshot + eligible + loads + tried -> Instance | Refused
    load.py       LoadLedger: calls in flight per instance, as leases
    eligibility.py  who may be picked and how much, from these:
      outlier.py      instances put aside for the way their calls end; record(s).py: what is known of each;
                      success_rate.py: each against the rest
      places.py       where each stands: ready, parked, suspected, unreachable; panic
      slow_start.py, zones.py, reports.py   newcomers, the own zone, callers' reports
    service.py    what is held of each service: its policy, and all the ledgers and the strategy that go by it
    policy.py     what the operator wants of it
    circuit.py    the circuit breaker as a table; concurrency.py: places and lines; gradient.py: a limit
                  that follows latency
    outcome.py    phase x side x kind of every failure, and whether a byte was sent
    retry.py      (attempt, outcome) -> Retry | Stop; budget.py: how many second tries there may be at all
    hedging.py    how long calls usually take, and when one is slow; deadline.py: what is left of its time
    hints.py      what an instance asks for beside its answer
    headers.py    what is forwarded, in both directions
    strategies/   one file per way to choose, and their table; a pick costs the same among 10 and 10,000
    load_order.py, sampling.py, latency.py, rings.py  what strategies derive from candidates and loads
    runtime/      call.py is the balancer; one_call.py a call, attempt.py one of its tries, hedge.py two at a
                  time, admission.py and queueing.py what it waits for; upstream.py talks to instances over
                  connection.py, pool.py, wire.py; tunnel.py carries bytes after a 101

Knows nothing of Redis, Consul's wire format, routes and users.
"""
