"""docs/identity.md: its examples are settings, its command works, and no key is missing."""

import json
import re
import shlex

import pytest
import yaml

from gateway.errors import Reason
from gateway.settings import Settings, load_settings
from gateway.settings_identity import IdentitySettings, IntrospectionSettings, RevocationSettings
from registry.runtime.clock import unix_now
from tests.gateway.runtime.gateways import gateway, post_json
from tests.project.source import ROOT

PAGE = (ROOT / "docs" / "identity.md").read_text()
EXAMPLES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
SECRETS = {"JWT_SECRET": "a secret of the page, long enough"}


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"example {n}" for n in range(1, len(EXAMPLES) + 1)])
def test_an_example_is_valid(example: str) -> None:
    document = {"services": {"auth": {}}, "routes": [], "handlers": None, **yaml.safe_load(example)}
    loaded = load_settings(json.dumps(document), environment=SECRETS)
    assert isinstance(loaded, Settings), str(loaded)


def test_every_key_is_told_of() -> None:
    models = (IdentitySettings, IntrospectionSettings, RevocationSettings)
    missing = [key for model in models for key in model.model_fields if not re.search(rf"\b{key}\b", PAGE)]
    assert not missing


def test_the_defaults_are_the_ones_shown() -> None:
    shown = [yaml.safe_load(example)["identity"] for example in EXAMPLES]
    asking = next(section["introspection"] for section in shown if "introspection" in section)
    assert IntrospectionSettings.model_validate(asking) == IntrospectionSettings()
    revoking = next(section["revocation"] for section in shown if "revocation" in section)
    assert RevocationSettings.model_validate(revoking) == RevocationSettings()


def test_reasons_named_are_reasons_that_exist() -> None:
    named = set(re.findall(r"\b(?:40[013]|503)(?: with)? `([a-z_]+)`", PAGE))
    assert named
    assert named <= {reason.value for reason in Reason}


async def test_the_command_revokes() -> None:
    (command,) = re.findall(r"^curl .*$", PAGE, re.MULTILINE)
    *_, path, _, body = shlex.split(command)
    message = json.loads(body)
    assert message["expires_at"] > unix_now()
    async with gateway() as running:
        answer = await post_json(running.port, path.partition(":8000")[2], message)
    assert (answer.status, answer.json()["everywhere"]) == (200, True)
