from datetime import UTC, datetime

from registry.runtime.clock import unix_now


def test_it_tells_unix_seconds() -> None:
    before = datetime.now(UTC).timestamp()
    assert before - 0.001 <= unix_now() <= datetime.now(UTC).timestamp() + 0.001
