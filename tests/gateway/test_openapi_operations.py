"""An operation as its endpoint describes it."""

from gateway.openapi_operations import Operation, Parameter, Told


def test_what_nobody_says_is_the_usual() -> None:
    said = Operation("Is it there?", {200: Told("Yes.")}, parameters=(Parameter("q"),))
    assert (said.method, said.path, said.errors) == ("GET", None, ())
    assert said.parameters[0].where == "query"
    assert said.parameters[0].schema == {"type": "string"}
