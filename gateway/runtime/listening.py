"""Where the listening sockets come from: the service manager, the process before this one, or ourselves."""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address
from typing import Protocol, cast

from aiohttp import web

from gateway.runtime.handover import Predecessor
from gateway.runtime.http_server import HttpServer
from gateway.runtime.rules import StartFailed
from gateway.settings import ListenSettings
from gateway.socket_activation import passed_sockets

BACKLOG = 1024
"""Connections that may wait to be accepted."""
AT_EACH_TURN = 16
"""Connections that are accepted at one turn of the loop. uvloop accepts one for each listening handle (libuv
1.52). While busy connections make turns of 5 ms and more, others would come in at less than 200 a second, and
wait for seconds where nobody can refuse them: also whoever asks whether the process is alive."""


def sockets_of_the_manager(environment: Mapping[str, str]) -> list[socket.socket]:
    """Those that systemd has opened for this process. Raises `StartFailed` for what are none to listen on."""
    try:
        return [_listening_socket(passed.descriptor) for passed in passed_sockets(environment, os.getpid())]
    except (ValueError, OSError) as error:
        raise StartFailed(f"the service manager's sockets: {error}") from error


def _listening_socket(descriptor: int) -> socket.socket:
    os.set_inheritable(descriptor, False)
    found = socket.socket(fileno=descriptor)
    if found.family not in (socket.AF_INET, socket.AF_INET6) or found.type is not socket.SOCK_STREAM:
        raise ValueError(f"descriptor {descriptor} is no TCP socket")
    return found


def taken_from(predecessor: Predecessor, listen: ListenSettings) -> list[socket.socket]:
    """Its sockets that are where these settings say; the others stay with it."""
    taken = [one for one in predecessor.sockets if _is_at(one, listen.host, listen.port)]
    predecessor.sockets = [one for one in predecessor.sockets if one not in taken]
    return taken


def _is_at(one: socket.socket, host: str, port: int) -> bool:
    there, bound = one.getsockname()[:2]
    if port not in (0, bound):
        return False
    try:
        return ip_address(host) == ip_address(there)
    except ValueError:
        return True  # a name: who gave the socket away has resolved it


class _HasSockets(Protocol):
    """A server of either loop; the interface that they share does not say it."""

    @property
    def sockets(self) -> Sequence[socket.socket]: ...


class Listener:
    """Accepts connections for a server, until it is told to stop or another process does.

    `shutdown_timeout_s` is asked at the end, as settings may have changed by then.
    """

    def __init__(self, server: HttpServer, shutdown_timeout_s: Callable[[], float]) -> None:
        self.server = server
        self._runner = web.ServerRunner(server)
        self._shutdown_timeout_s = shutdown_timeout_s
        self._sites: list[web.BaseSite] = []
        self.sockets: list[int] = []
        """The descriptors of the listening sockets."""
        self.port = 0

    async def start(self, listen: ListenSettings, given: Sequence[socket.socket]) -> None:
        """On the sockets that were given, or on new ones. Raises `StartFailed` with the key that is wrong."""
        await self._runner.setup()
        sites: list[web.BaseSite] = [web.SockSite(self._runner, one, backlog=BACKLOG) for one in given]
        for site in sites or [web.TCPSite(self._runner, listen.host, listen.port, backlog=BACKLOG)]:
            try:
                await site.start()
            except OSError as error:
                raise StartFailed(_why_not(listen.host, listen.port, error)) from error
            self._sites.append(site)
            self.sockets += [one.fileno() for one in cast(_HasSockets, site._server).sockets]
        for descriptor in self.sockets:
            for _ in range(AT_EACH_TURN - 1):
                await self._accept_more(descriptor)
        self.port = self._runner.addresses[0][1]

    async def _accept_more(self, descriptor: int) -> None:
        """One more handle on the same socket, and the same queue."""
        again = socket.socket(fileno=os.dup(descriptor))
        site = web.SockSite(self._runner, again, backlog=BACKLOG)
        await site.start()
        self._sites.append(site)

    async def stop_accepting(self) -> None:
        """Leaves what is not accepted yet to whoever holds the sockets too."""
        self.server.draining = True
        for site in self._sites:
            await site.stop()
        self._sites.clear()

    async def stop(self) -> None:
        """Lets requests under way finish, for a while, and closes every connection."""
        await self.stop_accepting()
        # One turn, in which what was accepted last is read.
        await asyncio.sleep(0)
        self.server.pre_shutdown()
        await self.server.shutdown(self._shutdown_timeout_s())
        await self._runner.cleanup()


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"listen.port: {host}:{port} is in use; stop what listens there or set another port"
    if error.errno == errno.EACCES:
        return f"listen.port: {port} may not be used by this user; set one above 1023"
    return f"listen.host: can't listen on {host}:{port}: {error.strerror or error}"
