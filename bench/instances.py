"""What stands behind the gateways: three instances that answer from memory, on the load core.

nginx when it is there; else our own small instance (bench/instance.py), which is slower, so figures of the
two can't be compared.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.calls import get
from bench.machine import LOAD_CORE
from bench.paths import LARGE, LARGE_BYTES, MIB, MIB_BYTES, SINK, SMALL, SMALL_BODY
from bench.processes import Launch, Process, running, until
from bench.programs import NotInstalled, find_program, said_by
from tests.servers import free_ports

COUNT = 3

NGINX = """
daemon off;
worker_processes 1;
pid {folder}/instances.pid;
error_log stderr error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  default_type application/json;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_max_body_size 0;
  client_body_buffer_size 2m;
  sendfile on;
  open_file_cache max=16;
  server {{
    {listens}
    location = {small} {{ return 200 '{body}'; }}
    location = {mib} {{ alias {folder}/mib; }}
    location = {large} {{ alias {folder}/large; }}
    # The body is read whole before it would be passed on; `return` alone answers before the body has come.
    location = {sink} {{
      proxy_pass http://127.0.0.1:{first}{small};
      proxy_method GET;
      proxy_pass_request_body off;
      proxy_set_header Content-Length "";
    }}
  }}
}}
"""


@dataclass(frozen=True, slots=True)
class Instances:
    ports: tuple[int, ...]
    program: str = ""
    """Name and version, where they are real ones."""


@contextmanager
def instances(folder: Path) -> Iterator[Instances]:
    """Running while the block runs."""
    assert len(SMALL_BODY) == 95
    ports = tuple(free_ports(COUNT))
    with ExitStack() as stack:
        try:
            find_program("nginx")
        except NotInstalled:
            for port in ports:
                stack.enter_context(own_instance(port, folder))
            yield Instances(ports, "bench/instance.py")
            return
        process = stack.enter_context(running(nginx(ports, folder), LOAD_CORE, folder / "instances.log"))
        for port in ports:
            until(lambda port=port: get(port, SMALL) == 200, process)  # type: ignore[misc]  # binds the port
        yield Instances(ports, f"nginx {said_by([find_program('nginx'), '-v']).rpartition('/')[2]}")


def nginx(ports: tuple[int, ...], folder: Path) -> Launch:
    (folder / "mib").write_bytes(b"x" * MIB_BYTES)
    with (folder / "large").open("wb") as large:
        large.truncate(LARGE_BYTES)  # without blocks: no disk is read
    text = NGINX.format(
        folder=folder,
        listens=" ".join(f"listen 127.0.0.1:{port} backlog=4096;" for port in ports),
        first=ports[0],
        body=SMALL_BODY.decode(),
        small=SMALL,
        mib=MIB,
        large=LARGE,
        sink=SINK,
    )
    file = folder / "instances.conf"
    file.write_text(text)
    return Launch((find_program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(file)))


@contextmanager
def own_instance(port: int, folder: Path) -> Iterator[Process]:
    """One process of bench/instance.py on the load core."""
    launch = Launch((sys.executable, "-m", "bench.instance", str(port)))
    with running(launch, LOAD_CORE, folder / f"instance-{port}.log") as process:
        until(lambda: get(port, SMALL) == 200, process)
        yield process
