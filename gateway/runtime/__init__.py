"""The gateway at work.

Map of the floor:

    app.py          the only wiring: settings -> a running gateway
    discovery.py    what is watched in the registry, and the gateway's own entry there
    http_server.py  aiohttp's low-level server with our own request loop; all that is private to aiohttp
    request_reader.py requests out of the bytes of one connection, one at a time; parse_faults.py
    client_request.py one request and its answer's way out; client_body.py its body
    dispatch.py     one request: who is it, may it, where does it go; places.py remembers where lines lead
    forward.py      a routed request to an instance, and its answer back
    exchange.py     what is known of one request; reply.py what the gateway itself answers
    endpoints/      the gateway's own paths
    probing.py      asks dependencies; health_summary.py how everything stands
    upstream_docs.py what services say of their APIs, fetched; internal_callers.py who may see all
    handler_feed.py what the registry says of handlers, passed on to the seats
    metrics.py      what is counted; live_state.py how things stand, read at a scrape
    access_log.py logs.py; tracing.py spans, where OpenTelemetry is installed
    processes.py    child processes, for `demo` and nothing else
"""
