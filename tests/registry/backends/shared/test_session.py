import socket
import ssl
from pathlib import Path

import pytest

from registry.backends.base import BackendSettings
from registry.backends.shared.session import KEEPALIVE, kept_alive, open_session, read_text, tls_context
from tests.registry.fake_agent import fake_agent, says


def test_sockets_ask_whether_their_peer_is_still_there() -> None:
    with kept_alive((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))) as made:
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        if hasattr(socket, "TCP_KEEPIDLE"):
            assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == KEEPALIVE["TCP_KEEPIDLE"]


async def test_an_endless_answer_is_cut() -> None:
    async with fake_agent(says("x" * 1000)) as agent, open_session(None) as session:
        async with session.get(f"http://{agent.address}/") as answer:
            assert await read_text(answer, most=1000) == "x" * 1000
        async with session.get(f"http://{agent.address}/") as answer:
            with pytest.raises(ValueError, match="more than 999"):
                await read_text(answer, most=999)


async def test_cookies_are_forgotten() -> None:
    async with fake_agent(says("{}", Set_Cookie="a=b; Path=/")) as agent, open_session(None) as session:
        for _ in range(2):
            async with session.get(f"http://{agent.address}/"):
                pass
        assert [request.headers.get("Cookie") for request in agent.asked] == [None, None]


def test_files_that_can_not_be_used_are_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        tls_context(BackendSettings(ca_file=str(tmp_path / "none.pem")))
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    with pytest.raises(ssl.SSLError):
        tls_context(BackendSettings(ca_file=str(rubbish)))
    with pytest.raises(ssl.SSLError):
        tls_context(BackendSettings(cert_file=str(rubbish), key_file=str(rubbish)))
