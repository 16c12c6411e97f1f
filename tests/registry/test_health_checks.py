from dataclasses import FrozenInstanceError

import pytest

from registry.health_checks import HealthCheckPolicy


def test_a_policy_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        HealthCheckPolicy().path = "/x"  # type: ignore[misc]
