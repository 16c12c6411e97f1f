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
