"""Which instance gets this call? And carries it there.

Map of the package:

    selection.py  snapshot + loads + cool-downs + tried -> Chosen | Refused
    load.py       LoadLedger: calls in flight per instance, as leases
    cooldown.py   instances put aside after a refused connection
    outcome.py    phase x side x kind of every failure, and whether a byte was sent
    retry.py      (attempt, outcome) -> Retry | Stop
    headers.py    what is forwarded, in both directions
    strategies/   one file per way to choose: round_robin, least_connections
    runtime/      call.py chooses, sends and retries; upstream.py talks to instances;
                  progress.py says how far a try has got, and its deadline

Knows nothing of Redis, Consul's wire format, routes and users.
"""
