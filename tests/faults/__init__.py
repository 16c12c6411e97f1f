"""The fault matrix of RELIABILITY 4, on real processes: gateways, instances, Consul and Redis, under a load
that never stops and a ledger of every call made.

| file | is |
|---|---|
| `__main__.py` | `python -m tests.faults [ROW …]`: rows at their full length, as a table |
| `rows/` | a file for each kind of row; `rows/__init__.py` has the table of all |
| `rig.py` | what a row stands on: an agent, a gateway, instances, each a process |
| `instance.py` | the instance, with faults to switch on |
| `load.py`, `client.py` | the load, over plain sockets: what a library repeats by itself would be hidden |
| `ledger.py`, `figure.py` | what was asked and seen, and what is read off it |
| `soak.py` | `make soak`: random faults for half an hour |
| `test_*.py` | the quick rows, asserted on what came of the calls |
"""
