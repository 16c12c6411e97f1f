"""The chat system that the gateway exists for: sign up, be paired with somebody who fits, and talk.

Map of the package. Four services, each a program (`python -m examples.chat.auth --help`):

    auth.py       sign up, log in, tokens
    matching.py   pairs people who wait
    handler.py    WebSocket handlers on the SDK: brings messages from client to client
    web.py        the page of page/: static files

What they decide, without loop or clock:

    profile.py    what a person says when signing up, and what is wrong with it
    pairing.py    who may talk to whom
    tokens.py     access and refresh tokens
    frames.py     what clients say over their WebSocket
    brief.py      answers that stay good for a moment; how fast somebody may go on
    system.py     the plan of all processes, for `quaymaster demo`

What they run on:

    service.py    JSON, errors, arguments: what the services have in common
    threads.py    blocking work off the event loop; passwords.py and database.py use it
    users.py      the users' table; waiting_room.py: who waits and who is matched
    courier.py    brings a frame to a client here or on another handler
    peers.py      asks the gateway, matching and other handlers

`quaymaster.yaml` is what the gateway is told of all this.
"""
