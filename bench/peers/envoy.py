"""Envoy with `LEAST_REQUEST` and one worker thread; its defaults otherwise, so it makes request ids."""

import json

from bench.peers.base import Peer, Place
from bench.processes import Launch
from bench.programs import find_program, said_by

TYPES = "type.googleapis.com/envoy.extensions"


def settings(place: Place) -> dict[str, object]:
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "front",
        "upgrade_configs": [{"upgrade_type": "websocket"}],
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{TYPES}.filters.http.router.v3.Router"},
            }
        ],
        "route_config": {
            "virtual_hosts": [
                {
                    "name": "all",
                    "domains": ["*"],
                    "routes": [
                        {"match": {"prefix": "/"}, "route": {"cluster": "instances", "timeout": "300s"}}
                    ],
                }
            ]
        },
    }
    manager_filter = {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
    return {
        "static_resources": {
            "listeners": [
                {
                    "address": _address(place.port),
                    "tcp_backlog_size": 4096,
                    "filter_chains": [{"filters": [manager_filter]}],
                }
            ],
            "clusters": [
                {
                    "name": "instances",
                    "type": "STATIC",
                    "lb_policy": "LEAST_REQUEST",
                    "load_assignment": {
                        "cluster_name": "instances",
                        "endpoints": [{"lb_endpoints": [_endpoint(port) for port in place.instances]}],
                    },
                }
            ],
        }
    }


def _address(port: int) -> dict[str, object]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


def _endpoint(port: int) -> dict[str, object]:
    return {"endpoint": {"address": _address(port)}}


def launch(place: Place) -> Launch:
    file = place.write("envoy.json", json.dumps(settings(place)))
    quiet = ("--concurrency", "1", "--disable-hot-restart", "--log-level", "error")
    return Launch((find_program("envoy"), "-c", file, *quiet))


def version() -> str:
    """Out of `PATH version: COMMIT/1.40.0/…`."""
    return said_by([find_program("envoy"), "--version"]).rpartition("version: ")[2].split("/")[1]


PEER = Peer("Envoy", launch, version)
