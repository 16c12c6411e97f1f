import io
import json

from examples.standins.events import Events


def test_each_event_is_one_line_of_json() -> None:
    out = io.BytesIO()
    events = Events(lambda: 0.0, out)
    events.tell("auth-events", "user_registered", user_id="u\n1")
    events.tell("auth-events", "user_logged_in", user_id="u2")
    first, second = map(json.loads, out.getvalue().splitlines())
    assert first == {
        "topic": "auth-events",
        "event": "user_registered",
        "timestamp": "1970-01-01T00:00:00.000Z",
        "user_id": "u\n1",
    }
    assert second["event"] == "user_logged_in"
