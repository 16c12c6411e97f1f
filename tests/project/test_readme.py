"""What the README says is checked where it can be."""

import re

from gateway.errors import Reason
from gateway.settings import Settings, load_settings
from tests.project.source import ROOT

README = (ROOT / "README.md").read_text()
SECRETS = {"JWT_SECRET": "j" * 32}


def settings_of_the_readme() -> Settings:
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    settings = load_settings(text, environment=SECRETS)
    assert isinstance(settings, Settings), settings
    return settings


def test_the_settings_shown_are_valid_and_are_the_defaults() -> None:
    shown = settings_of_the_readme()
    defaults = load_settings(None, environment=SECRETS | {"QUAYMASTER__IDENTITY__SECRET": "j" * 32})
    assert isinstance(defaults, Settings), defaults
    differing = {name for name in Settings.model_fields if getattr(shown, name) != getattr(defaults, name)}
    # The file shows one service and one route more than the chat system has.
    assert differing <= {"services", "routes", "store"}


def test_every_settings_key_is_shown() -> None:
    shown = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)[0]
    sections = set(Settings.model_fields) - {"services", "routes", "store", "zone", "handout_ttl_s"}
    for section in sections:
        model = type(getattr(settings_of_the_readme(), section))
        missing = [key for key in model.model_fields if not re.search(rf"\b{key}\b", shown)]
        assert set(missing) <= {"public_key", "public_key_file", "ca_file", "cert_file", "key_file"}


def test_reasons_named_are_reasons_that_exist() -> None:
    table = README.split("| status | reasons |")[1].split("\n\n")[0]
    named = set(re.findall(r"`([a-z_]+)`", table))
    assert named <= {reason.value for reason in Reason}


def test_linked_files_exist() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        for target in re.findall(r"\]\(([^)#:]+)[^):]*\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
