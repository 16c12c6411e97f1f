from balancer.outlier import AnswerHints


def test_an_answer_without_hints_says_nothing() -> None:
    assert AnswerHints() == (None, None)
