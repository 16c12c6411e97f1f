"""The part of the settings about the registry: which one, where, and how far it is believed.

Rules of this file: as in settings_model.py.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from gateway.settings_types import (
    Address,
    Cidr,
    Host,
    Name,
    OneOf,
    Seconds,
    SecondsOrZero,
    Secret,
    Section,
    Text,
)
from registry.backends import BACKENDS
from registry.backends.base import BackendSettings
from registry.model import ServiceName


class RegistrySettings(Section):
    backend: Annotated[str, OneOf(BACKENDS, "registry backend")] = "embedded"
    address: Address = "127.0.0.1:8500"
    """`host:port`. With `embedded`, where the agent listens; with `consul`, where it is."""
    fallback_addresses: tuple[Address, ...] = ()
    """Further agents of the same Consul, asked in turn while the one before does not answer."""
    token: Secret = None
    data_dir: Text = None
    """Where the embedded agent keeps its journal; null: in memory only."""
    allowed_networks: tuple[Cidr, ...] = ()
    """Where instances may live. Empty: anywhere but link-local, multicast and unspecified."""
    scheme: Literal["http", "https"] = "http"
    ca_file: Text = None
    cert_file: Text = None
    key_file: Text = None
    wait_s: Annotated[Seconds, Field(le=600)] = 30
    """How long a blocking query may wait."""
    suspect_s: SecondsOrZero = 10
    """How long a mass removal is doubted."""
    snapshot_file: Text = None
    """Where the last good state is kept, for a start while the registry is down; null: nowhere."""
    snapshot_max_age_s: Seconds = 600
    """An older one is not believed."""
    register_as: Annotated[Name | None, BeforeValidator(lambda name: name or None)] = "quaymaster"
    """The name the gateway registers itself under; null: it does not."""
    advertise_address: Host = None
    """Where others reach the gateway; null: listen.host."""

    @field_validator("address")
    @classmethod
    def _can_be_reached(cls, address: str, info: ValidationInfo) -> str:
        if address.endswith(":0") and info.data.get("backend") == "consul":
            raise ValueError("must name Consul's port; 0, for any free one, is for the embedded agent")
        return address

    @field_validator("fallback_addresses")
    @classmethod
    def _further_ones(cls, addresses: tuple[str, ...], info: ValidationInfo) -> tuple[str, ...]:
        if addresses and info.data.get("backend") not in ("consul", None):
            raise ValueError("are further Consul agents: set registry.backend: consul, or remove them")
        if any(address.endswith(":0") for address in addresses):
            raise ValueError("must name Consul's port")
        if len({*addresses, info.data.get("address")}) <= len(addresses):
            raise ValueError("names an agent twice: list each once, and not the one of registry.address")
        return addresses

    @field_validator("snapshot_file")
    @classmethod
    def _registry_is_elsewhere(cls, file: str | None, info: ValidationInfo) -> str | None:
        backend = info.data.get("backend")
        if file is not None and backend not in ("consul", None):
            fix = " (registry.data_dir keeps what the embedded agent knows)" if backend == "embedded" else ""
            raise ValueError(
                f"is for a registry that may be down: set registry.backend: consul, or null{fix}"
            )
        return file

    @field_validator("scheme")
    @classmethod
    def _embedded_speaks_http(cls, scheme: str, info: ValidationInfo) -> str:
        if scheme == "https" and info.data.get("backend") not in ("consul", None):
            raise ValueError("https needs registry.backend: consul")
        return scheme

    @field_validator("key_file")
    @classmethod
    def _tls_is_whole(cls, key_file: str | None, info: ValidationInfo) -> str | None:
        cert_file, ca_file = info.data.get("cert_file"), info.data.get("ca_file")
        if bool(cert_file) != bool(key_file):
            raise ValueError("cert_file and key_file need each other: set both or none")
        if (cert_file or ca_file) and info.data.get("scheme") == "http":
            raise ValueError("ca_file, cert_file and key_file need registry.scheme: https")
        return key_file

    def backend_settings(self, fixed: dict[ServiceName, tuple[str, ...]]) -> BackendSettings:
        """This section as the registry's backends want it, with the services' fixed addresses."""
        return BackendSettings(
            address=self.address,
            fallback_addresses=self.fallback_addresses,
            token=self.token.get_secret_value() if self.token else "",
            scheme=self.scheme,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            data_dir=self.data_dir,
            allowed_networks=tuple(str(network) for network in self.allowed_networks),
            wait_s=self.wait_s,
            static=fixed,
        )
