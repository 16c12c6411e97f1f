"""Several addresses of one registry: which one is asked.

* The one that works is kept: an address that failed is left, and nothing is balanced.
* The next one that has not failed since it last answered is tried at once. When all have, whoever asks waits
  between its tries.
* One that answers without knowing a leader is left while another one may know more. Its answer is used.
* The first address is home. Whoever went away returns when home answers a question again (backends/shared/
  homeward.py asks it), so that a restart of one agent does not leave every gateway at the next for ever.
* Blocking.py says what happens to an index then: it is worth nothing at another address.
"""

from collections.abc import Iterator

HOME = 0


class AddressLedger:
    """Which of `count` addresses is asked now, by number; shared by all who ask for the same purpose."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._failing: set[int] = set()
        self.current = HOME
        self.moves = 0
        """How often `current` changed."""

    def failed(self, address: int) -> bool:
        """Somebody got no answer there. Whether another address is worth a try at once.

        Late news of an address that was left already moves nobody.
        """
        self._failing.add(address)
        if address == self.current and self._count > 1:
            self._go(next(self._hopeful(), (address + 1) % self._count))
        return self.current not in self._failing

    def knows_no_leader(self, address: int) -> None:
        """It answers what it last knew. Another one may know more."""
        self._failing.add(address)
        if address == self.current:
            self._go(next(self._hopeful(), address))

    def answered(self, address: int) -> None:
        """Somebody got an answer there."""
        self._failing.discard(address)

    def is_failing(self, address: int) -> bool:
        """Whether it has failed since it last answered."""
        return address in self._failing

    @property
    def away(self) -> bool:
        """Whether another address than the first is asked."""
        return self.current != HOME

    def go_home(self) -> None:
        """The first address answers again."""
        self._failing.discard(HOME)
        self._go(HOME)

    def _hopeful(self) -> Iterator[int]:
        """The other addresses that have not failed since they last answered, the next one first."""
        others = ((self.current + step) % self._count for step in range(1, self._count))
        return (each for each in others if each not in self._failing)

    def _go(self, address: int) -> None:
        if address != self.current:
            self.current = address
            self.moves += 1

    def __repr__(self) -> str:
        return f"<AddressLedger: at {self.current} of {self._count}, {len(self._failing)} failing>"
