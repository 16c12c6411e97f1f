"""Who exists, and who is healthy?

Map of the package:

    model.py      Instance, Health, ServiceSnapshot: the words everybody else uses
    names.py      which text may be the name of a service, and an instance's id
    checks.py     a service's check states -> one Health
    addresses.py  where an instance may live
    admission.py  registrations -> the instances that are believed, the others with a reason
    blocking.py   the rules of Consul's blocking queries
    exhaustion.py which errors are this machine's own
    backoff.py    how long to wait after a failure
    merge.py      (snapshot, what the registry said) -> snapshot; bad news is distrusted
    stats.py      a snapshot, counted for metrics
    backends/     one file per place that knows instances: consul, embedded, static; shared/ is theirs
    agent/        the embedded agent: the part of Consul's HTTP API that this project uses
    runtime/      watcher.py keeps snapshots fresh, registration.py registers a process or a program

Knows nothing of load, requests and clients.
"""
