"""Which WebSocket handler gets this client, and has it room?

Map of the package:

    model.py      handlers, seats, requests and refusals
    ledger.py     who holds which seat: a pure state machine, made of
                  seat_life.py (a seat's states as a table), seats.py (all live seats), roster.py (one
                  handler, and whether it may get clients), placement.py (the order in which handlers
                  are tried) and deadlines.py (what runs out when)
    degraded.py   who gets which seat while the store is away, as far as one gateway knows (standing.py:
                  one handler as it sees it), and outage.py when the store is relied on again
    ticket.py     the signed ticket a client shows to its handler; grants.py makes its answer of a seat,
                  and queue_token.py the appointment of a client that must come back
    fleet.py      all handlers together; rebalance.py whom to move after a scale-out
    admission.py  the handler's own gate; closing.py its refusals; presented.py what clients show
    outbox.py     what a handler has to report; answers.py what it and clients are answered, heard.py how
                  it reads that; control_frames.py what it tells clients
    drain_pace.py who leaves a draining handler when
    address.py    what a handler may say of itself; advice.py when clients should come back
    stores/       one file per place that keeps the ledger: memory
    runtime/      allocator.py hands out, standby.py stands in for the store, sweeper.py expires; node.py is
                  the SDK of a handler process, with door.py (who gets in), client_socket.py,
                  gateway_link.py and gateway_client.py (hello and reports), moves.py (who must go),
                  adviser.py, and stop_signals.py; departures.py: the gateway's part of a move

"Handler" always means a WebSocket worker process. Knows nothing of HTTP routes and Consul's wire format.
"""
