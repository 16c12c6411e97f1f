"""What the settings say of requests, made ready: built whole, then put in force by one assignment."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gateway.cors import Cors
from gateway.limits import RateStyle, style_of
from gateway.runtime.endpoints.endpoint import Endpoint
from gateway.runtime.places import Places
from gateway.settings import Settings
from gateway.token_keys import KeySet, pem_key, secret_key
from gateway.verifier import Verifier


class StartFailed(Exception):
    """The gateway can't start with these settings. The text names the setting and the fix."""


@dataclass(frozen=True, slots=True)
class Rules:
    """A request is carried out by those that were in force when it came."""

    settings: Settings
    places: Places
    cors: Cors | None
    internal_key: str
    rate_style: RateStyle
    fail_mode: Literal["share", "open", "closed"]
    """What limits are worth while their store does not answer."""
    process_time: bool
    """Whether answers say how long they took."""


def rules_of(settings: Settings, endpoints: Iterable[Endpoint]) -> Rules:
    """The rules of these settings; `endpoints` are the gateway's own places beside the routes."""
    key = settings.internal.key
    return Rules(
        settings,
        Places(settings, endpoints),
        Cors(settings.cors) if settings.cors.origins else None,
        key.get_secret_value() if key else "",
        style_of(settings.limits),
        settings.limits.fail_mode,
        settings.listen.process_time,
    )


def build_verifier(settings: Settings) -> Verifier | None:
    """What checks tokens; `None` when no key is set (then nothing asks for users: the settings saw to it), or
    somebody else is asked. The keys of a `jwks_url` are not here yet.

    Raises `StartFailed` for a key file that can't be used.
    """
    identity = settings.identity
    if identity.mode == "introspect" or not identity.has_key:
        return None
    if identity.symmetric:
        assert identity.secret is not None
        return Verifier(identity, secret_key(identity.algorithms, identity.secret.get_secret_value()))
    if identity.public_key:
        return Verifier(identity, pem_key(identity.algorithms, identity.public_key))
    if identity.public_key_file is None:
        return Verifier(identity, KeySet(by_kid=True))
    try:
        pem = Path(identity.public_key_file).read_bytes().decode()
        return Verifier(identity, pem_key(identity.algorithms, pem))
    except OSError as error:
        raise StartFailed(f"identity.public_key_file: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise StartFailed(f"identity.public_key_file: {error}") from error
