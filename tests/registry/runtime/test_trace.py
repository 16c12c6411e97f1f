from registry.runtime.trace import LONGEST, trace_of


def deep(depth: int, secret: str) -> None:
    if depth == 0:
        raise ZeroDivisionError("nothing left")
    if depth % 2:
        deep(depth - 1, secret)
    else:
        deep(depth - 1, secret=secret)


def test_it_says_where_and_what_and_shows_no_value_of_a_variable() -> None:
    try:
        deep(500, "s3cr3t-t0ken")
    except ZeroDivisionError as error:
        trace = trace_of(error)
    assert trace.rstrip().endswith("ZeroDivisionError: nothing left")
    assert "in deep" in trace
    assert "s3cr3t" not in trace
    assert len(trace) <= LONGEST
