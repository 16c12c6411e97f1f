"""Which WebSocket handler gets this client, and has it room?

Map of the package:

    model.py      handlers, seats, requests and refusals
    ledger.py     who holds which seat: a pure state machine
    placement.py  the order in which handlers are tried
    ticket.py     the signed ticket a client shows to its handler
    advice.py     when a client should come back after its connection is lost
    stores/       one file per place that keeps the ledger: memory
    runtime/      allocator.py hands out, sweeper.py expires, node.py is the SDK of a handler process

"Handler" always means a WebSocket worker process. Knows nothing of HTTP routes and Consul's wire format.
"""
