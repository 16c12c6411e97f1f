"""A share of many, evenly and exactly, and not at anybody's choice."""


class Sampler:
    """Takes `share` (0 to 1) of those it is asked for: of every n calls n x share, one more or less.

    It counts. A hash of the request's id would take the same requests at every gateway, but clients may
    choose their ids, and so which of their requests are seen.
    """

    __slots__ = ("_due", "share")

    def __init__(self, share: float) -> None:
        self.share = share
        self._due = 0.0

    def takes(self) -> bool:
        """Whether this one is taken."""
        self._due += self.share
        if self._due < 1:
            return False
        self._due -= 1
        return True

    def __repr__(self) -> str:
        return f"<Sampler: {self.share}>"
