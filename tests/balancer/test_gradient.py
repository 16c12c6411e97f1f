from balancer.gradient import LEAST, MOST, GradientLimit


class Service:
    """A service under an adaptive limit, on a clock of its own."""

    def __init__(self, most: int | None = None) -> None:
        self.gradient = GradientLimit(most)
        self._at = 0.0

    @property
    def limit(self) -> int:
        return self.gradient.limit

    def windows(self, seconds: float, count: int = 1, in_flight: int | None = None) -> None:
        """So many windows in which calls took so long; as many are under way as there may be by default."""
        for _ in range(count):
            for n in range(20):
                under_way = self.limit if in_flight is None else in_flight
                self.gradient.sample(seconds, under_way, self._at + n / 19)
            self._at += 1.01


def test_a_smaller_most_is_where_it_goes_on_from() -> None:
    limit = Service()
    limit.windows(0.1, count=400)
    limit.gradient.allow(MOST // 3)
    assert limit.limit == MOST // 3
    limit.windows(1.0, count=5)
    assert limit.limit < MOST // 3


def test_it_grows_while_latency_stays_and_calls_need_it() -> None:
    limit = Service()
    assert limit.limit == LEAST
    limit.windows(0.1, count=20)
    assert LEAST + 10 <= limit.limit <= LEAST + 20
    limit.windows(0.1, count=400)
    assert limit.limit == MOST


def test_it_stays_while_few_calls_come() -> None:
    limit = Service()
    limit.windows(0.1, in_flight=3, count=50)
    assert limit.limit == LEAST


def test_it_shrinks_when_calls_begin_to_take_longer_and_grows_again_afterwards() -> None:
    limit = Service()
    limit.windows(0.1, count=200)
    calm = limit.limit
    limit.windows(0.4, count=20)
    slow = limit.limit
    assert slow < calm / 2
    limit.windows(0.1, count=200)
    assert limit.limit > slow + 20


def test_a_latency_that_stays_becomes_the_usual_one() -> None:
    limit = Service()
    limit.windows(0.1, count=20)
    limit.windows(0.3, count=50)
    held = limit.limit
    limit.windows(0.3, count=2000)
    assert limit.limit > held


def test_one_slow_window_takes_little_away() -> None:
    limit = Service()
    limit.windows(0.1, count=200)
    calm = limit.limit
    limit.windows(10.0)
    assert limit.limit >= 0.85 * calm


def test_it_never_leaves_its_bounds() -> None:
    limit = Service(most=30)
    limit.windows(0.1, count=100)
    assert limit.limit == 30
    limit.windows(50.0, count=100)
    assert limit.limit >= LEAST
    small = Service(most=5)
    small.windows(0.1, count=10)
    small.windows(9.0, count=10)
    assert small.limit == 5


def test_a_window_with_few_calls_says_nothing() -> None:
    limit = GradientLimit()
    for second in range(50):
        assert not limit.sample(0.1, LEAST, float(second))
    assert limit.limit == LEAST
