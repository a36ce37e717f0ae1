"""Byte ranges over HTTP, as a model registry and the storage behind it serve them.

Only GET, only https (http for this computer and for hosts named by the caller), nothing sent
but the request itself: no cookies, and an anonymous token only to the host that asked for it.
The protocol is written down in MEMORY_MODEL 5 and in the OCI distribution specification.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import socket
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final

from assistant import __version__
from assistant.errors import RegistryError
from assistant.units import MIB

_USER_AGENT: Final = f"local-model-assistant/{__version__}"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_TRY_AGAIN: Final = frozenset({408, 429, 500, 502, 503, 504})
_MAX_REDIRECTS: Final = 5
_MAX_WAIT_S: Final = 10.0
_TOKEN_BYTES: Final = 64 * 1024
_CHECK_NETWORK: Final = "Check the network; models of the catalog need none."


class StatusError(RegistryError):
    """The server refused: its HTTP status, its own words, and when it wants to be asked again."""

    def __init__(
        self, message: str, *, status: int, detail: str = "", retry_after_s: float = 0.0
    ) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s


class UnreachableError(RegistryError):
    """No usable answer came: no network, no server, or one that keeps failing."""


class _BrokenOffError(Exception):
    """The connection ended inside an answer; worth another try."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes asked for, and the size of the whole object where the server said it."""

    body: bytes
    total_bytes: int | None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Wanted:
    url: str
    accept: str
    limit: int
    first: int | None

    @property
    def headers(self) -> dict[str, str]:
        headers = {
            "Accept": self.accept,
            "Accept-Encoding": "identity",
            "User-Agent": _USER_AGENT,
        }
        if self.first is not None:
            headers["Range"] = f"bytes={self.first}-{self.first + self.limit - 1}"
        return headers


def is_loopback(host: str) -> bool:
    """Tell whether a host name (without port) is this computer."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HttpReader:
    """GET with timeouts, bounded retries, and redirects that keep Range and drop tokens."""

    def __init__(
        self,
        *,
        timeout_s: float = 10.0,
        total_timeout_s: float = 300.0,
        attempts: int = 4,
        backoff_s: float = 0.5,
        insecure_hosts: Collection[str] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.timeout_s = timeout_s
        self.total_timeout_s = total_timeout_s
        self.attempts = attempts
        self.backoff_s = backoff_s
        self.insecure_hosts = frozenset(insecure_hosts)
        self.sleep = sleep
        self._tokens: dict[str, str] = {}

    def get(self, url: str, *, limit: int, accept: str = "*/*", first: int | None = None) -> Answer:
        """Return up to `limit` bytes of `url`, from byte `first` when a range is wanted.

        Without `first` the whole object is wanted, and one larger than `limit` is refused.

        Raises:
            StatusError: the server answered with an error status.
            UnreachableError: no answer, also after several tries.
            RegistryError: an answer that cannot be right, or an address that is not allowed.
        """
        wanted = _Wanted(url, accept, limit, first)
        host = urllib.parse.urlsplit(url).netloc
        deadline = time.monotonic() + self.total_timeout_s
        for attempt in range(1, self.attempts + 1):
            last = attempt == self.attempts
            wait = min(self.backoff_s * 2 ** (attempt - 1), _MAX_WAIT_S)
            try:
                return self._follow(wanted, deadline)
            except StatusError as error:
                if last or error.status not in _TRY_AGAIN:
                    raise
                wait = max(wait, min(error.retry_after_s, _MAX_WAIT_S))
            except ValueError as error:
                raise RegistryError(f"{host!r} or an address it named is not usable") from error
            except (OSError, http.client.HTTPException, _BrokenOffError) as error:
                reason = _reason(error)
                if last or _is_hopeless(error) or time.monotonic() > deadline:
                    raise UnreachableError(
                        f"cannot read from {host}: {reason}", hint=_CHECK_NETWORK
                    ) from error
            self.sleep(wait)
        raise AssertionError("unreachable")  # pragma: no cover

    def _follow(self, wanted: _Wanted, deadline: float) -> Answer:
        url = wanted.url
        origin = _origin(url)
        asked_for_token = False
        for _ in range(_MAX_REDIRECTS + 1):
            self._check_address(url, previous=wanted.url)
            response = self._open(url, wanted, same_origin=_origin(url) == origin)
            with response:
                if response.status == 401 and _origin(url) == origin and not asked_for_token:
                    asked_for_token = True
                    self._tokens[origin] = self._token(response, url, deadline)
                    continue
                if response.status not in _REDIRECTS:
                    return self._read(response, wanted, deadline)
                location = response.headers.get("Location")
            if not location:
                raise RegistryError(f"{_host(url)} redirects to nowhere")
            url = urllib.parse.urljoin(url, location)
        raise RegistryError(f"{_host(wanted.url)} redirects more than {_MAX_REDIRECTS} times")

    def _check_address(self, url: str, *, previous: str) -> None:
        parts = urllib.parse.urlsplit(url)
        host = parts.hostname or ""
        if not host or "@" in parts.netloc or parts.scheme not in ("http", "https"):
            raise RegistryError(f"{parts.scheme}://{host} is not an address to read models from")
        if parts.scheme == "https":
            return
        trusted = is_loopback(host) and is_loopback(urllib.parse.urlsplit(previous).hostname or "")
        if not trusted and parts.netloc not in self.insecure_hosts:
            raise RegistryError(
                f"plain http to {parts.netloc} is not allowed",
                hint="Anyone on the way could change the answer; use https.",
            )

    def _open(self, url: str, wanted: _Wanted, *, same_origin: bool) -> http.client.HTTPResponse:
        headers = wanted.headers
        token = self._tokens.get(_origin(url))
        if same_origin and token:
            headers["Authorization"] = f"Bearer {token}"
        request = urllib.request.Request(url, headers=headers)
        host = urllib.parse.urlsplit(url).hostname or ""
        opener = urllib.request.OpenerDirector()
        if not is_loopback(host):
            opener.add_handler(urllib.request.ProxyHandler())
        # No redirect, error, cookie or authentication handlers: every answer comes back as is.
        opener.add_handler(urllib.request.HTTPHandler())
        opener.add_handler(urllib.request.HTTPSHandler())
        response = opener.open(request, timeout=self.timeout_s)
        if not isinstance(response, http.client.HTTPResponse):
            raise RegistryError(f"no way to open {url}")
        return response

    def _read(self, response: http.client.HTTPResponse, wanted: _Wanted, deadline: float) -> Answer:
        status, headers, host = response.status, response.headers, _host(wanted.url)
        total = _number(headers.get("Content-Range", "").rpartition("/")[2])
        if status == 416 and wanted.first is not None:
            return Answer(b"", total, dict(headers))
        if status not in (200, 206):
            raise _status_error(response, host)
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise RegistryError(f"{host} sent a compressed answer that was not asked for")
        length = _number(headers.get("Content-Length"))
        skip, count = 0, wanted.limit
        if wanted.first is not None and status == 206:
            start = headers.get("Content-Range", "").removeprefix("bytes ").partition("-")[0]
            if _number(start) != wanted.first:
                raise RegistryError(f"{host} sent another part of the file than asked for")
        else:
            total, skip = length, wanted.first or 0
        if wanted.first is None and (length or 0) > wanted.limit:
            raise RegistryError(
                f"{host} sent {length:,} bytes where at most {wanted.limit:,} make sense"
            )
        body = _body(response, skip, count, deadline)
        expected = None if length is None else max(0, min(count, length - skip))
        if expected is not None and len(body) < expected:
            raise _BrokenOffError(f"the answer ended after {len(body):,} of {expected:,} bytes")
        if wanted.first is None and len(body) == wanted.limit and response.read(1):
            raise RegistryError(f"{host} sent more than {wanted.limit:,} bytes")
        return Answer(body, total, dict(headers))

    def _token(self, response: http.client.HTTPResponse, url: str, deadline: float) -> str:
        """Ask for an anonymous token, only where the host that refused says it gives them."""
        host = _host(url)
        challenge = _challenge(response.headers.get("WWW-Authenticate", ""))
        realm = challenge.pop("realm", "")
        if not realm:
            raise _status_error(response, host)
        if _origin(realm) != _origin(url):
            raise RegistryError(
                f"{host} wants a login from another host, {_host(realm)}",
                hint="Nothing was sent there. Pull this model with `ollama pull`, if you trust it.",
            )
        parts = urllib.parse.urlsplit(realm)
        asked = [(key, challenge[key]) for key in ("service", "scope") if key in challenge]
        query = "&".join(filter(None, (parts.query, urllib.parse.urlencode(asked))))
        address = urllib.parse.urlunsplit(parts._replace(query=query))
        wanted = _Wanted(address, "application/json", _TOKEN_BYTES, None)
        with self._open(address, wanted, same_origin=False) as reply:
            if reply.status != 200:
                raise _status_error(reply, host)
            try:
                document = json.loads(_body(reply, 0, _TOKEN_BYTES, deadline))
                token = document.get("token") or document.get("access_token")
            except (ValueError, AttributeError):
                token = None
        if not isinstance(token, str) or not token.isprintable() or not token.isascii():
            raise RegistryError(f"{host} wants a login and gave no token")
        return token


def _body(response: http.client.HTTPResponse, skip: int, count: int, deadline: float) -> bytes:
    """Read `count` bytes after `skip`, or what there is; the rest is left unread.

    `read1` comes back after every packet, so that a dripping server meets the deadline.
    """
    chunks: list[bytes] = []
    have = 0
    while skip or have < count:
        if time.monotonic() > deadline:
            raise TimeoutError("it takes too long")
        chunk = response.read1(min(MIB, skip or count - have))
        if not chunk:
            break
        if skip:
            skip -= len(chunk)
            continue
        chunks.append(chunk)
        have += len(chunk)
    return b"".join(chunks)


def _host(url: str) -> str:
    return urllib.parse.urlsplit(url).netloc


def _origin(url: str) -> str:
    parts = urllib.parse.urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise RegistryError(f"{parts.netloc!r} is not a host and port") from None
    return f"{parts.scheme}://{parts.hostname}:{port or (443 if parts.scheme == 'https' else 80)}"


def _number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None


def _challenge(text: str) -> dict[str, str]:
    """The parameters of a `WWW-Authenticate: Bearer` header; empty for other schemes."""
    scheme, _, rest = text.partition(" ")
    if scheme.lower() != "bearer":
        return {}
    return urllib.request.parse_keqv_list(
        [item for item in urllib.request.parse_http_list(rest) if "=" in item]
    )


def _status_error(response: http.client.HTTPResponse, host: str) -> StatusError:
    detail = _detail(response)
    words = f": {detail}" if detail else ""
    return StatusError(
        f"{host} answered {response.status} {response.reason}{words}",
        status=response.status,
        detail=detail,
        retry_after_s=float(_number(response.headers.get("Retry-After")) or 0),
    )


def _detail(response: http.client.HTTPResponse) -> str:
    """The server's own words about an error, shortened and on one line."""
    try:
        body = response.read(16 * 1024)
    except (OSError, http.client.HTTPException):
        return ""
    text: object = None
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        if response.headers.get_content_type() == "text/plain":
            text = body.decode("utf-8", "replace")
    else:
        text = _error_text(document)
    if not isinstance(text, str):
        return ""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:200]


def _error_text(document: object) -> object:
    """The message in an error document of Ollama, Hugging Face or an OCI registry."""
    if not isinstance(document, dict):
        return None
    errors = document.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return errors[0].get("message")
    return document.get("error") or document.get("message")


def _reason(error: BaseException) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return str(inner) if str(inner) == "it takes too long" else "no answer in time"
    if isinstance(inner, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({getattr(inner, 'verify_message', inner)})"
    if isinstance(inner, ssl.SSLError):
        why = (inner.reason or "no reason given").replace("_", " ").lower()
        return f"no secure connection ({why})"
    if isinstance(inner, socket.gaierror):
        return "its address cannot be found"
    if isinstance(inner, OSError) and inner.strerror:
        return inner.strerror
    return str(inner) or type(inner).__name__


def _is_hopeless(error: BaseException) -> bool:
    """Trying again cannot help, or not soon: no such host, nobody listening, bad certificate."""
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    return isinstance(
        inner, (socket.gaierror, ConnectionRefusedError, ssl.SSLCertVerificationError)
    )
