"""Who exists, and who is healthy?

Map of the package:

    model.py      Instance, Health, Verdict, ServiceSnapshot: the words everybody else uses
    names.py      which text may be the name of a service, and an instance's id
    checks.py     a service's check states -> one Health
    addresses.py  where an instance may live
    admission.py  registrations -> the instances that are believed, the others with a reason
    blocking.py   the rules of Consul's blocking queries
    failover.py   several addresses of one registry: which one is asked
    exhaustion.py which errors are this machine's own
    backoff.py    how long to wait after a failure
    merge.py      (what is known, what the registry or our checks say) -> what is known; losses are doubted
    health_checks.py  whom to ask ourselves, when, and what an answer changes
    last_state.py, snapshot_codec.py  what is worth keeping for the next run, and its bytes
    stats.py      a snapshot, counted for metrics
    backends/     one file per place that knows instances: consul, embedded, static; shared/ is theirs
    agent/        the embedded agent: the part of Consul's HTTP API that this project uses
    runtime/      watcher.py keeps snapshots fresh; checker.py and asking.py ask instances; last_run.py and
                  snapshot_file.py keep the last good state; registration.py registers a process or a program

Knows nothing of load, requests and clients.
"""
