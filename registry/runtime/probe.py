"""Does a suspect still accept connections?"""

import asyncio
from collections.abc import Iterable

from registry.exhaustion import is_out_of_resources
from registry.model import Instance

TIMEOUT_S = 0.5
AT_ONCE = 64


async def refusing(instances: Iterable[Instance], timeout_s: float = TIMEOUT_S) -> list[Instance]:
    """Those that refuse a TCP connection, or do not accept one in time. All are tried at once."""
    slots = asyncio.Semaphore(AT_ONCE)
    tried = list(instances)

    async def accepts(instance: Instance) -> bool:
        async with slots:
            return await accepts_connections(instance.ip, instance.port, timeout_s)

    answers = await asyncio.gather(*map(accepts, tried))
    return [instance for instance, accepted in zip(tried, answers, strict=True) if not accepted]


async def accepts_connections(host: str, port: int, timeout_s: float = TIMEOUT_S) -> bool:
    """Whether somebody listens there; yes also when this process has no socket left to find out."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        return False
    except OSError as error:
        return is_out_of_resources(error)
    writer.transport.abort()
    return True
