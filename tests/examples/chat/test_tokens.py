import jwt
import pytest

from examples.chat.tokens import Claims, Kind, Rejected, check_secret, issue, read
from tests.examples.chat.clients import NOW, SECRET

OTHER_SECRET = "another secret, also long enough for HS256"


def test_a_token_tells_whose_it_is_until_it_is_over() -> None:
    token = issue(SECRET, "ann", Kind.ACCESS, "j1", NOW)
    over = NOW + Kind.ACCESS.lifetime_s
    assert read(SECRET, token, Kind.ACCESS, NOW) == Claims("ann", "j1", int(over))
    assert read(SECRET, token, Kind.ACCESS, over - 1) == Claims("ann", "j1", int(over))
    assert read(SECRET, token, Kind.ACCESS, over) is Rejected.EXPIRED


def test_the_claims_are_those_the_gateway_reads() -> None:
    token = issue(SECRET, "ann", Kind.ACCESS, "j1", NOW)
    claims = jwt.decode(token, SECRET, ["HS256"], {"verify_exp": False, "verify_iat": False})
    assert claims == {"sub": "ann", "iat": NOW, "exp": NOW + 1800, "jti": "j1", "typ": "access"}


def test_a_refresh_token_is_no_access_token_for_any_holder_of_the_secret() -> None:
    token = issue(SECRET, "ann", Kind.REFRESH, "j1", NOW)
    assert isinstance(read(SECRET, token, Kind.REFRESH, NOW), Claims)
    assert read(SECRET, token, Kind.ACCESS, NOW) is Rejected.INVALID
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, SECRET, ["HS256"], {"verify_exp": False})


def signed(**changes: object) -> str:
    claims = {"sub": "ann", "iat": NOW, "exp": int(NOW) + 60, "jti": "j", "typ": "access", **changes}
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, SECRET, "HS256")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "x" * 5000,
        "\ud800",
        issue(OTHER_SECRET, "ann", Kind.ACCESS, "j", NOW),
        jwt.encode({"sub": "ann", "exp": NOW + 60, "iat": NOW, "jti": "j", "typ": "access"}, "", "none"),
        signed(exp=None),
        signed(sub=None),
        signed(sub=""),
        signed(typ="refresh"),
        signed(exp="tomorrow"),
        issue(SECRET, "ann", Kind.ACCESS, "j", NOW)[:-3] + "abc",
    ],
)
def test_anything_else_is_invalid(token: str) -> None:
    assert read(SECRET, token, Kind.ACCESS, NOW) is Rejected.INVALID


def test_a_short_secret_is_refused() -> None:
    assert check_secret(SECRET) == SECRET
    with pytest.raises(ValueError, match="at least 32 bytes, it has 5"):
        check_secret("short")


def test_a_token_can_say_more_and_last_as_long_as_its_issuer_wants() -> None:
    token = issue(SECRET, "ann", Kind.ACCESS, "j1", NOW, lifetime_s=60, more={"tier": "free", "sub": "eve"})
    claims = jwt.decode(token, SECRET, ["HS256"], {"verify_exp": False, "verify_iat": False})
    assert (claims["tier"], claims["sub"], claims["exp"]) == ("free", "ann", NOW + 60)
