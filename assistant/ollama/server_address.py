"""The address of the Ollama server, from `OLLAMA_HOST` in every form that Ollama accepts.

The variable serves two masters: the server listens on it, clients connect to it. The forms
and the default ports are those of Ollama's `envconfig.Host`: 11434, or 80 and 443 when a
scheme is written. An address that means "every interface" is where a server listens; we
connect to the loopback address instead.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from assistant.config import unquote
from assistant.errors import UsageError

DEFAULT_PORT: Final = 11434
_SCHEME_PORTS: Final = {"http": 80, "https": 443}
_HIGHEST_PORT: Final = 65535
_CLOUD_HOST: Final = "ollama.com"


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """Where to connect. `note` says what of the given text was not used, or is None."""

    scheme: str
    host: str
    port: int
    path: str = ""
    note: str | None = None

    @property
    def url(self) -> str:
        """The address as a URL without a trailing slash; IPv6 hosts are in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{self.path}"

    @property
    def is_local(self) -> bool:
        """True when the host is this computer by its name or by a loopback address."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def configured_address(environ: Mapping[str, str] | None = None) -> ServerAddress:
    """Return the address in `OLLAMA_HOST`, or the default one.

    Raises:
        UsageError: the scheme is neither http nor https.
    """
    return parse_address((os.environ if environ is None else environ).get("OLLAMA_HOST", ""))


def parse_address(text: str) -> ServerAddress:
    """Return the address written in `text`; an empty text is the default address.

    Raises:
        UsageError: the scheme is neither http nor https.
    """
    value = unquote(text)
    scheme, separator, rest = value.partition("://")
    if not separator:
        scheme, rest = "http", value
        if value == _CLOUD_HOST:
            scheme, rest = "https", f"{_CLOUD_HOST}:443"
    elif scheme not in _SCHEME_PORTS:
        raise UsageError(
            f"the server address {value!r} has the scheme {scheme!r}; Ollama speaks http or https.",
            hint="Set OLLAMA_HOST to something like 127.0.0.1:11434.",
        )
    default_port = _SCHEME_PORTS[scheme] if separator else DEFAULT_PORT
    hostport, _, path = rest.partition("/")
    host, written_port = _split(hostport)
    port, note = _port(written_port, default_port)
    path = path.strip("/")
    return ServerAddress(scheme, _reachable(host), port, f"/{path}" if path else "", note)


def _split(hostport: str) -> tuple[str, str | None]:
    """Return host and port text; a bare IPv6 address has no port."""
    if hostport.startswith("["):
        host, _, after = hostport[1:].partition("]")
        return host, after[1:] if after.startswith(":") else None
    if hostport.count(":") == 1:
        host, _, port = hostport.partition(":")
        return host, port
    return hostport, None


def _port(text: str | None, default: int) -> tuple[int, str | None]:
    if text is None:
        return default, None
    if text.isascii() and text.isdecimal() and int(text) <= _HIGHEST_PORT:
        return int(text), None
    return default, f"{text!r} is not a port; Ollama uses {default} instead"


def _reachable(host: str) -> str:
    """Return the host to connect to: loopback for an empty or unspecified one."""
    if not host:
        return "127.0.0.1"
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host
    if ip.is_unspecified:
        return "::1" if ip.version == 6 else "127.0.0.1"
    return str(ip)
