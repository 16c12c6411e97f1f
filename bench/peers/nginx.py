"""nginx with `least_conn` and kept upstream connections. Bodies stream: none of them waits on a disk."""

from bench.peers.base import Peer, Place
from bench.processes import Launch
from bench.programs import find_program, said_by

SETTINGS = """
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 16384; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  keepalive_requests 1000000000;
  keepalive_timeout 300s;
  client_max_body_size 0;
  proxy_request_buffering off;
  proxy_max_temp_file_size 0;
  map $http_upgrade $upgrade {{ default upgrade; "" ""; }}
  upstream instances {{
    least_conn;
    {servers}
    keepalive 64;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://instances;
      proxy_http_version 1.1;
      proxy_set_header Connection $upgrade;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }}
  }}
}}
"""


def launch(place: Place) -> Launch:
    servers = " ".join(f"server {address};" for address in place.addresses)
    text = SETTINGS.format(folder=place.folder, servers=servers, port=place.port)
    file = place.write("nginx.conf", text)
    return Launch((find_program("nginx"), "-p", str(place.folder), "-e", "stderr", "-c", file))


def version() -> str:
    return said_by([find_program("nginx"), "-v"]).rpartition("/")[2]


PEER = Peer("nginx", launch, version)
