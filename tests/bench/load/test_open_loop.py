"""The open loop against a small server of its own."""

import random
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.load.open_loop import OpenLoop, answer_length, figures

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@given(st.integers(0, len(ANSWER)), st.binary(max_size=10))
def test_the_length_is_known_once_the_head_is_whole(cut: int, behind: bytes) -> None:
    whole_head = cut >= ANSWER.index(b"hello")
    assert answer_length(ANSWER[:cut]) == (len(ANSWER) if whole_head else None)
    assert answer_length(ANSWER + behind) == len(ANSWER)


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n"],
    ids=["an error", "no length"],
)
def test_an_answer_that_can_t_be_timed_is_an_error(answer: bytes) -> None:
    with pytest.raises(ValueError, match="answered"):
        answer_length(answer)


@contextmanager
def answers(pieces: list[bytes]) -> Iterator[int]:
    """A server that answers every request with these pieces, until its clients have left."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        listening.settimeout(5)
        threads = []

        def talk(connection: socket.socket) -> None:
            with connection:
                while connection.recv(65536):
                    for piece in pieces:
                        connection.sendall(piece)

        def accept() -> None:
            for _ in range(64):
                connection, _ = listening.accept()
                threads.append(threading.Thread(target=talk, args=(connection,)))
                threads[-1].start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        yield listening.getsockname()[1]
        acceptor.join(5)
        for thread in threads:
            thread.join(5)


@pytest.mark.parametrize("pieces", [[ANSWER], [ANSWER[:30], ANSWER[30:]]], ids=["whole", "in pieces"])
def test_every_request_that_was_started_is_timed(pieces: list[bytes]) -> None:
    with answers(pieces) as port:
        loop = OpenLoop(port, REQUEST, per_s=500, rng=random.Random(1))
        try:
            loop.run(0.2)
        finally:
            loop.close()
    rng, due, expected = random.Random(1), 0.0, 0
    while due < 0.2:
        due, expected = due + rng.expovariate(500), expected + 1
    assert len(loop.times) == expected, "as many as the clock asked for, whatever the answers took"
    assert all(taken > 0 for taken in loop.times)


def test_figures_are_microseconds() -> None:
    assert figures([0.001] * 99 + [0.5]) == {"p50_us": 1000, "p99_us": 1000}
