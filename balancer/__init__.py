"""Which instance gets this call? And carries it there.

Map of the package:

    selection.py  snapshot + eligible + loads + tried -> Chosen | Refused
    load.py       LoadLedger: calls in flight per instance, as leases
    eligibility.py  who may be picked and how much, from these:
      outlier.py      instances put aside for the way their calls end; record(s).py: what is known of each
      places.py       where each stands: ready, parked, suspected, unreachable; panic
      slow_start.py, zones.py, reports.py   newcomers, the own zone, callers' reports
    outcome.py    phase x side x kind of every failure, and whether a byte was sent
    retry.py      (attempt, outcome) -> Retry | Stop
    headers.py    what is forwarded, in both directions
    strategies/   one file per way to choose, and their table; a pick costs the same among 10 and 10,000
    load_order.py, sampling.py, latency.py, rings.py  what strategies derive from candidates and loads
    runtime/      call.py chooses, sends and retries; upstream.py talks to instances;
                  progress.py says how far a try has got, and its deadline

Knows nothing of Redis, Consul's wire format, routes and users.
"""
