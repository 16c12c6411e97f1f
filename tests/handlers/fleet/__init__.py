"""Fleets in virtual time: what a policy does to handlers when thousands of clients come at once.

`storm.py` is the scene of ALLOCATION 1 and its figures, `policies.py` the policies that others use,
`quay.py` ours: the real `SeatLedger`, with clients that obey what it says. `death.py` is the scene of a
handler that dies with 10,000 clients. `python -m tests.handlers.fleet` prints the table.
"""
