"""Where is a peer? `/get_service_instance` beside Consul's own `/v1/health/service/:name`.

Both answer from the same real Consul, which knows three instances. Consul answers all three with their
nodes and checks, and leaves the choice to who asked; the gateway answers the one it chose.
"""

from typing import Any

from bench import quaymaster
from bench.calls import call, get
from bench.contest import Contest, Contestant, contest, how, take_turns, turn
from bench.load import wrk
from bench.load.wrk import Work
from bench.peers import consul
from bench.peers.base import Place
from bench.report import Goal, Options, Report
from tests.servers import free_ports

SERVICE = "web"
PATHS = {
    quaymaster.ON: f"/get_service_instance?service_name={SERVICE}",
    consul.PEER.title: f"/v1/health/service/{SERVICE}?passing",
}
GOAL = 8.0


def measure(options: Options) -> Report:
    """Raises `NotInstalled` without Consul: there is nothing to ask then."""
    consul.version()
    (agent,) = free_ports(1)
    entries = [
        Contestant(consul.PEER.title, consul.launch, consul.version, port=agent),
        Contestant(quaymaster.ON, quaymaster.launcher(lambda place: settings(place, agent), options.tree)),
    ]
    with contest(entries, lambda port: knows(port, agent), behind=()) as taken:
        take_turns(taken, lambda one: turn(one, Work(PATHS[one.title]), options), options)
    taken.programs["wrk"] = wrk.version()
    return report(taken)


def knows(port: int, agent: int) -> bool:
    """Whether the agent has been told of the instances, or the gateway has heard of them."""
    if port != agent:
        return get(port, PATHS[quaymaster.ON]) == 200
    if get(agent, "/v1/catalog/nodes") != 200:
        return False
    for number in range(3):
        call(agent, "PUT", "/v1/agent/service/register", registration(number))
    return True


def registration(number: int) -> dict[str, Any]:
    return {"ID": f"{SERVICE}-{number}", "Name": SERVICE, "Address": "127.0.0.1", "Port": 9000 + number}


def settings(place: Place, agent: int) -> dict[str, Any]:
    return {
        "listen": {"port": place.port, "drain_s": 0},
        "registry": {"backend": "consul", "address": f"127.0.0.1:{agent}", "register_as": None},
        "services": {SERVICE: {}},
        "routes": [],
        "handlers": None,
    }


def report(taken: Contest) -> Report:
    found = Report(
        measurement="instance",
        title="Ask for a peer (three instances in a real Consul)",
        rows=taken.rows(),
        notes=(*how(), "32 keep-alive connections; the gateway's access log in JSON goes to a file"),
        left_out=tuple(taken.left_out),
        programs=taken.programs,
        ours=(quaymaster.ON,),
        compare="per_s",
    )
    times = found.ratio(quaymaster.ON, consul.PEER.title)
    return found.judged(Goal(f"{quaymaster.ON} / Consul", times, "at least", GOAL))
