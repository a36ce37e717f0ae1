"""OLLAMA_HOST in every form; the expected values follow Ollama's own table of cases."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.errors import UsageError
from assistant.ollama.server_address import configured_address, parse_address


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("", "http://127.0.0.1:11434"),
        ("1.2.3.4", "http://1.2.3.4:11434"),
        (":1234", "http://127.0.0.1:1234"),
        ("1.2.3.4:1234", "http://1.2.3.4:1234"),
        ("example.com", "http://example.com:11434"),
        ("example.com:1234", "http://example.com:1234"),
        ("example.com:1234/", "http://example.com:1234"),
        ("example.com/ollama", "http://example.com:11434/ollama"),
        (":0", "http://127.0.0.1:0"),
        (":66000", "http://127.0.0.1:11434"),
        (":-1", "http://127.0.0.1:11434"),
        ("https://example.com:port", "https://example.com:443"),
        ("[::1]", "http://[::1]:11434"),
        ("[::]", "http://[::1]:11434"),
        ("::", "http://[::1]:11434"),
        ("::1", "http://[::1]:11434"),
        ("[::1]:1337", "http://[::1]:1337"),
        ("[::]:1337", "http://[::1]:1337"),
        ("[0001:002:003:0004::1]:56789/path", "http://[1:2:3:4::1]:56789/path"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("0.0.0.0:8080", "http://127.0.0.1:8080"),
        ("http://0.0.0.0", "http://127.0.0.1:80"),
        (" 1.2.3.4 ", "http://1.2.3.4:11434"),
        ('"1.2.3.4"', "http://1.2.3.4:11434"),
        (' " 1.2.3.4 " ', "http://1.2.3.4:11434"),
        ("'1.2.3.4'", "http://1.2.3.4:11434"),
        ("http://1.2.3.4", "http://1.2.3.4:80"),
        ("http://1.2.3.4:4321", "http://1.2.3.4:4321"),
        ("https://1.2.3.4", "https://1.2.3.4:443"),
        ("https://1.2.3.4:4321", "https://1.2.3.4:4321"),
        ("https://example.com/ollama", "https://example.com:443/ollama"),
        ("https://example.com:8443/a/b/", "https://example.com:8443/a/b"),
        ("ollama.com", "https://ollama.com:443"),
    ],
)
def test_every_form_is_understood(text: str, url: str) -> None:
    assert parse_address(text).url == url


def test_a_port_that_is_none_is_said() -> None:
    assert parse_address(":66000").note == "'66000' is not a port; Ollama uses 11434 instead"
    assert parse_address(":8080").note is None


@pytest.mark.parametrize("text", ["tcp://1.2.3.4:11434", "unix:///run/ollama.sock"])
def test_another_scheme_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="http or https"):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("", True), ("localhost", True), ("[::1]", True), ("127.0.0.53:1", True),
        ("0.0.0.0", True), ("192.168.1.4", False), ("example.com", False), ("[fe80::1]", False),
    ],
)  # fmt: skip
def test_only_loopback_is_local(text: str, local: bool) -> None:
    assert parse_address(text).is_local is local


def test_the_environment_is_read() -> None:
    assert configured_address({"OLLAMA_HOST": "box:99"}).url == "http://box:99"
    assert configured_address({}).url == "http://127.0.0.1:11434"


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_usage_error(text: str) -> None:
    try:
        address = parse_address(text)
    except UsageError:
        return
    assert 0 <= address.port <= 65535
    assert address.host
    assert address.url.startswith(("http://", "https://"))
