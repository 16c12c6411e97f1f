"""The front door: settings, routes, identity, limits, endpoints and the command line.

Map of the package:

    settings.py        what the operator wrote, validated whole; the door to the files beside it:
                       _sources, _yaml and _overrides read, _document keeps, _types,
                       _model and _routes validate, _checks compares sections
    routes.py          method + path -> route, by a table built once; patterns.py reads the paths
    target.py          is this request line one we carry? one normal form of the path
    request_head.py    what a request's headers say, read once; request_ids.py names requests
    identity.py        token -> user
    client_address.py  whose call is this, behind trusted proxies; forwarded.py and proxy_protocol.py read
                       what those say
    allowed_hosts.py   which hosts may be asked for here
    limits.py          which limits a request falls under; windows.py counts
    answer_head.py     an answer's head as bytes, and how its body is framed
    tallies.py         counters and histograms without locks, for the metrics
    cors.py errors.py  cross-origin answers; the one shape of the gateway's own errors
    health.py          is the system well? health_probes.py what its dependencies' answers mean
    openapi.py         the API described: _routes, _merge and _upstream bring what is described,
                       _document and _errors what is shared; _operations, _answers are endpoints' words
    probes/            one file per kind of dependency that is asked: tcp, http, redis, postgres
    api_page/          the page of /docs, with Swagger UI
    limiters/          one file per place that counts requests: memory, redis
    runtime/           app.py wires everything; dispatch.py carries one request through it

Knows nothing of how instances are found or picked.
"""
