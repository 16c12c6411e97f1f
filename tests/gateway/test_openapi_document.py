"""A document in the making."""

from pydantic import BaseModel

from gateway.errors import Reason
from gateway.openapi_document import Draft, parameter, path_parameters
from gateway.openapi_operations import Parameter, Told

ABOUT = {"info": {"title": "t", "version": "1"}}


class Ship(BaseModel):
    name: str


def operation(path: str) -> dict[str, object]:
    return {"parameters": path_parameters(path), "security": [], "responses": {}}


def test_two_templates_of_one_shape_are_one_path_by_the_first_names() -> None:
    draft = Draft()
    draft.add("/a/{x}", "GET", operation("/a/{x}"))
    draft.add("/a/{y}", "PUT", operation("/a/{y}"))
    assert draft.has("/a/{z}", "get")
    assert list(draft.paths) == ["/a/{x}"]
    assert [one["name"] for one in draft.paths["/a/{x}"]["put"]["parameters"]] == ["x"]


def test_what_was_said_first_holds_and_what_can_not_be_said_is_not() -> None:
    draft = Draft()
    for summary in ("first", "second"):
        draft.add("/a", "GET", {"summary": summary, "responses": {}})
    draft.add("/a", "PURGE", {"summary": "other", "responses": {}})
    assert {m: op["summary"] for m, op in draft.paths["/a"].items()} == {"get": "first"}


def test_every_operation_has_a_name_of_its_own() -> None:
    draft = Draft()
    for path in ("/a/b", "/a_b", "/a-b"):
        draft.add(path, "GET", {"responses": {}})
    draft.add("/", "GET", {"responses": {}, "operationId": "get_a_b"})
    ids = [item["get"]["operationId"] for item in draft.paths.values()]
    assert ids == ["get_a_b", "get_a_b_2", "get_a_b_3", "get_a_b_4"]


def test_the_same_errors_are_said_once_for_all() -> None:
    draft = Draft()
    one = draft.answers({}, [Reason.NO_ROUTE, Reason.BAD_PATH])
    assert one == draft.answers({}, [Reason.BAD_PATH, Reason.NO_ROUTE])
    other = draft.answers({}, [Reason.UNKNOWN_USER])
    responses = draft.whole(ABOUT)["components"]["responses"]
    assert set(responses) == {"Error400", "Error404", "Error404-2"}
    assert other == {"404": {"$ref": "#/components/responses/Error404-2"}}


def test_a_status_that_is_sometimes_an_error_is_both() -> None:
    draft = Draft()
    answer = draft.answers({503: Told("No ship.", Ship)}, [Reason.OVERLOADED])["503"]
    assert answer["content"]["application/json"]["schema"]["anyOf"] == [
        {"$ref": "#/components/schemas/Ship"},
        {"$ref": "#/components/schemas/Error"},
    ]
    assert "Retry-After" in answer["headers"]


def test_models_and_only_the_schemes_that_are_used_are_components() -> None:
    draft = Draft()
    said = {"security": [{"bearer": []}], "responses": draft.answers({200: Told("A ship.", Ship)}, [])}
    draft.add("/ship", "GET", said)
    components = draft.whole(ABOUT)["components"]
    assert components["schemas"]["Ship"]["properties"]["name"]["type"] == "string"
    assert set(components["securitySchemes"]) == {"bearer"}


def test_bodies_that_are_no_json_have_their_media_type() -> None:
    told = {200: Told("Text.", media="text/plain"), 204: Told("Nothing.")}
    found = Draft().answers(told, [])
    assert found["200"]["content"] == {"text/plain": {"schema": {"type": "string"}}}
    assert "content" not in found["204"]


def test_a_parameter_of_the_path_is_always_required() -> None:
    assert parameter(Parameter("id", where="path"))["required"] is True
    assert "required" not in parameter(Parameter("q"))
