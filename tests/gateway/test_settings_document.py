"""Key paths, problems, and who set what."""

from gateway.settings_document import Document, Problem, key_path


def test_key_paths() -> None:
    assert key_path(("routes", 3, "service")) == "routes[3].service"
    assert key_path(("listen",)) == "listen"
    assert key_path(()) == ""


def test_a_problem_without_a_key_is_about_everything() -> None:
    assert str(Problem("listen.port", "is odd")) == "listen.port: is odd"
    assert str(Problem("", "is odd")) == "is odd"


def test_the_nearest_origin_counts() -> None:
    document = Document(origins={("a",): "set by A", ("a", "b", 0): "set by B"})
    assert document.origin(("a", "b", 0, "c")) == "set by B"
    assert document.origin(("a", "b")) == "set by A"
    assert document.origin(("x",)) == ""


def test_problems_are_collected() -> None:
    document = Document()
    document.add(("a", 0), "is odd")
    assert document.problems == [Problem("a[0]", "is odd")]
