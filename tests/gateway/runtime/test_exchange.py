from tests.gateway.runtime.gateways import exchange_for, unsent_request


def test_every_answer_carries_the_request_id_and_what_was_added_on_the_way() -> None:
    exchange = exchange_for(unsent_request("GET", "/"))
    exchange.headers += (("Vary", "Origin"), ("X-RateLimit-Limit", "5"))
    assert exchange.answer_headers((("Content-Type", "text/plain"), ("Vary", "Accept"))) == [
        ("Content-Type", "text/plain"),
        ("Vary", "Accept"),
        ("Vary", "Origin"),
        ("X-RateLimit-Limit", "5"),
        ("X-Request-Id", "request-1"),
    ]


def test_headers_are_read_whatever_their_case() -> None:
    exchange = exchange_for(unsent_request("GET", "/", X_Client_Id="one"))
    assert exchange.header("x-client-id") == "one"
    assert exchange.header("X-Last-Handler") is None


def test_a_trace_is_its_callers_where_the_gateway_makes_none() -> None:
    trace_id = "0af7651916cd43dd8448eb211c80319c"
    traced = unsent_request("GET", "/", traceparent=f"00-{trace_id}-b7ad6b7169203331-01")
    assert exchange_for(traced).trace_id == trace_id
    assert exchange_for(unsent_request("GET", "/")).trace_id is None
