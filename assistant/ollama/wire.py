"""Small JSON requests to an Ollama server with the standard library, bounded in time and size.

Used for what must be quick (`assistant hardware` asks three questions; importing the official
client takes longer than all of them) and for what the official client does not carry: the
version, and the tensor list of `/api/show`. No proxy is used: the configured host is the only
one spoken to. All failures are `OllamaError`.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any, Final

from assistant.ollama.errors import NotOllamaError, RequestRefusedError, ServerUnreachableError

if TYPE_CHECKING:
    from http.client import HTTPConnection

    from assistant.ollama.server_address import ServerAddress

CONNECT_TIMEOUT_S: Final = 0.25
ANSWER_TIMEOUT_S: Final = 5.0
LARGEST_ANSWER_BYTES: Final = 64 * 1024**2
_SAID_AT_MOST: Final = 200


def check_reachable(address: ServerAddress, *, timeout_s: float = CONNECT_TIMEOUT_S) -> None:
    """Return when something accepts connections at `address`; a closed port costs no time.

    A name is looked up in a thread, since a look-up cannot be given a time limit.

    Raises:
        ServerUnreachableError: nothing accepts a connection there within `timeout_s`.
    """
    problems: list[str] = []

    def connect() -> None:
        try:
            socket.create_connection((address.host, address.port), timeout=timeout_s).close()
        except socket.gaierror:
            problems.append(f"the name {address.host!r} is not known")
        except TimeoutError:
            problems.append(f"no answer within {timeout_s:g} s")
        except (OSError, UnicodeError) as error:
            problems.append(_reason(error))

    if address.is_local:
        connect()
    else:
        thread = threading.Thread(target=connect, daemon=True)
        thread.start()
        thread.join(timeout_s)
        if thread.is_alive():
            problems.append(f"no answer within {timeout_s:g} s")
    if problems:
        raise ServerUnreachableError(address, problems[0])


def request_json(
    address: ServerAddress,
    path: str,
    *,
    body: dict[str, Any] | None = None,
    timeout_s: float = ANSWER_TIMEOUT_S,
) -> dict[str, Any]:
    """Return the JSON object that the server answers to GET (or, with `body`, POST) `path`.

    Raises:
        ServerUnreachableError: no connection, or no answer in time.
        RequestRefusedError: an error status.
        NotOllamaError: the answer is not a JSON object.
    """
    import http.client
    import json

    connection = _connection(address, timeout_s)
    payload = None if body is None else json.dumps(body)
    try:
        connection.request(
            "GET" if payload is None else "POST",
            address.path + path,
            body=payload,
            headers={"Accept": "application/json", "Content-Type": "application/json"},
        )
        response = connection.getresponse()
        content = response.read(LARGEST_ANSWER_BYTES + 1)
    except TimeoutError as error:
        raise ServerUnreachableError(address, f"no answer within {timeout_s:g} s") from error
    except (OSError, UnicodeError) as error:
        raise ServerUnreachableError(address, _reason(error)) from error
    except http.client.HTTPException as error:
        raise NotOllamaError(address, f"it does not speak HTTP ({type(error).__name__})") from error
    finally:
        connection.close()
    if len(content) > LARGEST_ANSWER_BYTES:
        raise NotOllamaError(address, f"{path} answers with more than 64 MiB")
    try:
        answer = json.loads(content)
    except (ValueError, RecursionError):
        answer = None
    if response.status >= http.client.BAD_REQUEST:
        raise RequestRefusedError(address, response.status, _said(answer, content))
    if not isinstance(answer, dict):
        raise NotOllamaError(address, f"{path} does not answer with a JSON object")
    return answer


def seconds(nanoseconds: object) -> float | None:
    """Return a duration of the server's in seconds; None where it says none."""
    return nanoseconds / 1e9 if isinstance(nanoseconds, int) and nanoseconds > 0 else None


def _connection(address: ServerAddress, timeout_s: float) -> HTTPConnection:
    import http.client

    kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
    return kind(address.host, address.port, timeout=timeout_s)


def _reason(error: OSError | UnicodeError) -> str:
    """Return the system's words for a failed connection, such as `connection refused`."""
    return (getattr(error, "strerror", None) or str(error)).lower()


def _said(answer: object, content: bytes) -> str:
    """Return the server's own words for an error: its `error` field, or the start of the body."""
    if isinstance(answer, dict) and isinstance(answer.get("error"), str):
        return str(answer["error"])[:_SAID_AT_MOST]
    return content.decode("utf-8", "replace").strip()[:_SAID_AT_MOST] or "no explanation"
