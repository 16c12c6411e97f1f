"""What the examples' stand-in services share: each is a small, real aiohttp program with its state in memory.

    service.py      JSON in, JSON out, errors in one shape, who calls, and how a stand-in is started
    bodies.py       what a request's JSON must hold
    tokens.py       sessions: access and refresh tokens
    accounts.py     people who register, log in, and log out
    collection.py   things that are made, listed, changed and deleted
    peers.py        one service asks another; the gateway says where it is
    events.py       what happened, as lines of the log
    plan.py         an example as processes
    launch.py       starts them: `python -m examples.devmatch`

A stand-in does what its route needs and no more: what it forgets at its end, and what it does not check,
real services keep and check.
"""
