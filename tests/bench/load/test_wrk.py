"""What wrk is told, and what it says."""

import pytest

from bench.load.wrk import Work, command, parse

SAID = """\
Running 5s test @ http://127.0.0.1:9000/small
  1 threads and 32 connections
Requests/sec:  23300.00

{"requests": 116500, "duration_us": 5000000, "bytes": 29125000, "p50_us": 1270, "p99_us": 5100, \
"bad_status": 2, "broken": 3}
"""


def test_the_figures_are_read_from_the_line_of_the_script() -> None:
    taken = parse(SAID)
    assert (taken.requests, taken.seconds, taken.received) == (116_500, 5.0, 29_125_000)
    assert (taken.p50_ms, taken.p99_ms, taken.bad) == (1.27, 5.1, 5)
    assert taken.per_s == 23_300.0


@pytest.mark.parametrize("text", ["", "unable to connect to 127.0.0.1:9000 Connection refused\n"])
def test_a_run_that_failed_says_what_wrk_said(text: str) -> None:
    with pytest.raises(ValueError, match="no figures") as caught:
        parse(text)
    assert text.strip() in str(caught.value)


def test_the_request_is_on_the_command_line() -> None:
    work = Work("/sink", method="POST", body_bytes=1024, connections=8, headers={"X-Name": "v"})
    argv = command(work, 9000, 2.0)
    assert argv[:3] == ["-t1", "-c8", "-d2s"]
    assert argv[argv.index("-H") + 1] == "X-Name: v"
    assert argv[-4:] == ["http://127.0.0.1:9000/sink", "--", "POST", "1024"]


def test_a_script_with_its_own_arguments_gets_those_alone() -> None:
    argv = command(Work("/seats", script="seats.lua", arguments=("tokens",)), 9000, 0.2)
    assert argv[-2:] == ["--", "tokens"]
    assert "-d1s" in argv, "wrk takes whole seconds"
