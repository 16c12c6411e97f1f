"""Which version of an API a request wants, by a header of its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateway.request_head import Values

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Versions(Generic[T]):
    """What there is for each version of a route."""

    header: str
    """Best a `multidict.istr`: it is looked up with every request."""
    known: Mapping[str, T]
    otherwise: T
    """For requests without the header."""

    def wanted(self, headers: Values) -> T | None:
        """`None` for a version that does not exist, and for a header that was sent twice."""
        asked = headers.getall(self.header, ())
        if not asked:
            return self.otherwise
        return self.known.get(asked[0]) if len(asked) == 1 else None
