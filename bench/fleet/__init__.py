"""A whole fleet on one machine: gateways on a real Redis and a real Consul, handler processes, and thousands
of real WebSocket clients, to whom the things happen that happen to fleets.

    python -m bench.fleet                               # ten handlers, 10,000 clients, about five minutes
    python -m bench.fleet --clients 300 --handlers 3    # a look

Map:

    stage.py     starts it all, and asks the processes how they are
    handler.py   a handler process: on the SDK, answers what it is told with the same number
    crowd.py     a process full of clients; talker.py is one of them, which counts what got lost or doubled
    acts.py      what happens: the ramp, a kill, a drain, Redis away
    figures.py   what must be true of each act, as a short report
"""
