"""What a person says when signing up, read from JSON that anybody may have sent.

Rules of this file: plain functions; every problem is found at once and names its field, so that a
form can show each where it belongs. A wrong value is refused, never replaced by a default.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

SEXES = ("male", "female", "other")
PREFERRED_SEXES = ("male", "female", "other", "any")
YOUNGEST, OLDEST = 18, 120
PASSWORD_LENGTH = (8, 128)
USERNAME_LENGTH = (2, 32)
EMAIL_LENGTH = 254
"""RFC 5321, 4.5.3.1.3: a path has 256 octets, two of which are its angle brackets."""

LONGEST_UID = 64

EMAIL = re.compile(r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")
"""The shape WHATWG gives `<input type=email>`, with at least one dot in the domain."""
AGES = re.compile(r"([0-9]{1,3})-([0-9]{1,3})")


@dataclass(frozen=True, slots=True)
class Profile:
    """What pairing looks at."""

    sex: str
    age: int
    preferred_ages: tuple[int, int]
    """Youngest and oldest, both included."""
    preferred_sex: str


@dataclass(frozen=True, slots=True)
class SignUp:
    email: str
    username: str
    password: str
    profile: Profile


@dataclass(frozen=True, slots=True)
class Credentials:
    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Invalid:
    """Which fields are wrong, and how to put each right."""

    problems: Mapping[str, str]

    @property
    def message(self) -> str:
        return "; ".join(f"{field}: {problem}" for field, problem in self.problems.items())


def read_sign_up(body: Mapping[str, object]) -> SignUp | Invalid:
    """The person who wants to sign up, or everything that is wrong with the request."""
    fields = _Fields(body)
    email = fields.email()
    username = fields.text("username", *USERNAME_LENGTH)
    if username != username.strip() or not username.isprintable():
        fields.wrong("username", "must hold printable characters, with no space at either end")
    password = fields.text("password", *PASSWORD_LENGTH)
    sex = fields.one_of("sex", SEXES)
    age = fields.whole("age", YOUNGEST, OLDEST)
    preferred_ages = fields.ages("preferred_age")
    preferred_sex = fields.one_of("preferred_sex", PREFERRED_SEXES)
    if fields.problems:
        return Invalid(fields.problems)
    return SignUp(email, username, password, Profile(sex, age, preferred_ages, preferred_sex))


def read_credentials(body: Mapping[str, object]) -> Credentials | Invalid:
    """Who wants to log in. Looser than signing up: an impossible password is just a wrong one."""
    fields = _Fields(body)
    email = fields.text("email", 1, EMAIL_LENGTH).strip().lower()
    password = fields.text("password", 1, PASSWORD_LENGTH[1])
    return Invalid(fields.problems) if fields.problems else Credentials(email, password)


def read_text(body: Mapping[str, object], field: str, longest: int) -> str | Invalid:
    """One required text of at most `longest` characters."""
    fields = _Fields(body)
    text = fields.text(field, 1, longest)
    return Invalid(fields.problems) if fields.problems else text


class _Fields:
    """Reads one body field by field and collects what is wrong: the first problem of each field."""

    def __init__(self, body: Mapping[str, object]) -> None:
        self._body = body
        self.problems: dict[str, str] = {}

    def wrong(self, field: str, problem: str) -> None:
        self.problems.setdefault(field, problem)

    def text(self, field: str, shortest: int, longest: int) -> str:
        value = self._body.get(field)
        if value is None:
            self.wrong(field, "is missing")
        elif not isinstance(value, str):
            self.wrong(field, "must be a text")
        elif not value:
            self.wrong(field, "must not be empty")
        elif not shortest <= len(value) <= longest:
            self.wrong(field, f"must have {shortest} to {longest} characters")
        else:
            return value
        return ""

    def email(self) -> str:
        email = self.text("email", 3, EMAIL_LENGTH).strip().lower()
        if not EMAIL.fullmatch(email):
            self.wrong("email", 'must look like "user@example.com"')
        return email

    def one_of(self, field: str, choices: tuple[str, ...]) -> str:
        value = self.text(field, 1, 16)
        if value not in choices:
            self.wrong(field, f"must be one of {', '.join(choices)}")
        return value

    def whole(self, field: str, lowest: int, highest: int) -> int:
        value = self._body.get(field)
        if value is None:
            self.wrong(field, "is missing")
        elif isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
            self.wrong(field, f"must be a whole number from {lowest} to {highest}")
        else:
            return value
        return 0

    def ages(self, field: str) -> tuple[int, int]:
        found = AGES.fullmatch(self.text(field, 3, 7))
        low, high = (int(found[1]), int(found[2])) if found else (0, 0)
        if not YOUNGEST <= low <= high <= OLDEST:
            self.wrong(field, f'must be two ages from {YOUNGEST} to {OLDEST}, like "20-30"')
        return low, high
