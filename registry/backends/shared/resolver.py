"""Names -> address literals: concurrent, each with a timeout, cached, bounded.

A lookup that fails or hangs is no news: the addresses of the last good answer stay. Only the
resolver's word that there is no such name ends them.
"""

import asyncio
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Self

Lookup = Callable[[str], tuple[str, ...]]
"""Blocking: the literals of a name, best first, none for "there is no such name". Raises `OSError`."""

TIMEOUT_S = 2.0
TTL_S = 30.0
RETRY_S = 5.0
"""When a name that did not resolve is asked for again; it also bounds what one slow name can cost."""
MAX_NAMES = 4096
MAX_THREADS = 8


def system_lookup(name: str) -> tuple[str, ...]:
    """The system's resolver. IPv4 first: a call connects to one literal, and that must be reachable."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno == socket.EAI_NONAME:
            return ()
        raise
    except UnicodeError as error:
        raise OSError(str(error)) from error
    found.sort(key=lambda info: info[0] != socket.AF_INET)
    return tuple(dict.fromkeys(str(info[4][0]) for info in found))


@dataclass(frozen=True, slots=True)
class _Entry:
    literals: tuple[str, ...]
    fresh_until: float


class Resolver:
    """An async context manager; threads of its own, so that hanging lookups starve nobody else."""

    def __init__(
        self,
        *,
        lookup: Lookup = system_lookup,
        timeout_s: float = TIMEOUT_S,
        ttl_s: float = TTL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._lookup = lookup
        self._timeout_s = timeout_s
        self._ttl_s = ttl_s
        self._clock = clock
        self._known: OrderedDict[str, _Entry] = OrderedDict()
        self._asked: dict[str, asyncio.Future[tuple[str, ...]]] = {}
        self._threads = ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="resolve")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def resolve(self, names: Collection[str]) -> Mapping[str, tuple[str, ...]]:
        """The literals of each name that has any. Never raises, and takes at most the timeout."""
        now = self._clock()
        asked = {name: self._ask(name) for name in names if not self._is_fresh(name, now)}
        if asked:
            await asyncio.wait(asked.values(), timeout=self._timeout_s)
            for name, future in asked.items():
                if not future.done():
                    self._learn_nothing(name)
        found = {name: self._known[name].literals for name in names if name in self._known}
        self._forget_the_oldest(keep=len(names))
        return {name: literals for name, literals in found.items() if literals}

    def _is_fresh(self, name: str, now: float) -> bool:
        entry = self._known.get(name)
        return entry is not None and now < entry.fresh_until

    def _ask(self, name: str) -> asyncio.Future[tuple[str, ...]]:
        """One lookup per name at a time: a name that hangs must not take thread after thread."""
        if name not in self._asked:
            loop = asyncio.get_running_loop()
            future = loop.run_in_executor(self._threads, self._lookup, name)
            self._asked[name] = future
            future.add_done_callback(lambda answered: self._answered(name, answered))
        return self._asked[name]

    def _answered(self, name: str, future: asyncio.Future[tuple[str, ...]]) -> None:
        del self._asked[name]
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            self._learn_nothing(name)
        elif literals := future.result():
            self._learn(name, literals, self._ttl_s)
        else:
            self._learn(name, (), RETRY_S)

    def _learn_nothing(self, name: str) -> None:
        last = self._known.get(name)
        self._learn(name, last.literals if last else (), RETRY_S)

    def _learn(self, name: str, literals: tuple[str, ...], for_s: float) -> None:
        self._known[name] = _Entry(literals, self._clock() + for_s)
        self._known.move_to_end(name)

    def _forget_the_oldest(self, keep: int) -> None:
        while len(self._known) > max(MAX_NAMES, keep):
            self._known.popitem(last=False)

    def __repr__(self) -> str:
        return f"<Resolver: {len(self._known)} names, {len(self._asked)} lookups running>"
