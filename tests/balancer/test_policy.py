from dataclasses import FrozenInstanceError

import pytest

from balancer.policy import ServicePolicy
from gateway.settings import ServiceSettings


def test_a_policy_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        ServicePolicy().strategy = "x"  # type: ignore[misc]


def test_the_defaults_are_those_of_the_settings() -> None:
    """A service that the settings don't name is treated as one that they name and say nothing of."""
    assert ServiceSettings().policy(zone="") == ServicePolicy()
