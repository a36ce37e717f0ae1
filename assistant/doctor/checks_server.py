"""The server itself: is it there, its version, its address, and the settings it really has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from assistant.config import unquote
from assistant.doctor.contexts import server_settings
from assistant.doctor.records import Finding, Observations
from assistant.doctor.settings_steps import steps_to_set, steps_to_unset
from assistant.ollama.versions import MINIMUM_VERSION, TESTED_VERSION, parse_version

_EVERYWHERE: Final = ("0.0.0.0", "[::]", "::", "")
_NOT_SERVERS: Final = ("OLLAMA_HOST", "OLLAMA_DEBUG")
_DOWNLOAD: Final = "https://ollama.com/download"


def check_server(seen: Observations) -> Iterator[Finding]:
    """Yield whether the server answers, and what is odd about its version and settings."""
    server = seen.server
    if server.reachable is False:
        yield _no_server(seen)
    elif server.reachable is None:
        why = (server.why or "it was not asked",)
        yield Finding("server-not-asked", "unknown", "the server was not asked", why)
    else:
        yield from _version(seen)
    if server.note:
        yield Finding(
            "address",
            "warning",
            "OLLAMA_HOST is not fully understood",
            (server.note,),
            "set OLLAMA_HOST to host:port, such as 127.0.0.1:11434",
        )
    yield from _exposed(seen)
    yield from _ignored(seen)
    yield from _differs(seen)
    yield from _proxies(seen)


def _no_server(seen: Observations) -> Finding:
    """Say why nothing answers: in the error's own words, its reason as the evidence."""
    server = seen.server
    what, bracket, reason = (server.why or "").removesuffix(")").partition(" (")
    if not what:
        what = f"no Ollama server answers at {server.url or 'the configured address'}"
    return Finding(
        "no-server",
        "problem",
        what,
        (reason if bracket else "nothing that is an Ollama server accepts the connection",),
        server.how_to_start or "start it with: ollama serve",
    )


def _version(seen: Observations) -> Iterator[Finding]:
    text = seen.server.version
    version = parse_version(text)
    if version is None:
        yield Finding(
            "version-unknown",
            "unknown",
            f"the server's version ({text or 'not said'}) is not known",
            (f"the arithmetic here is that of Ollama {_shown(TESTED_VERSION)}",),
        )
    elif version < MINIMUM_VERSION:
        yield Finding(
            "version-too-old",
            "problem",
            f"Ollama {text} is too old",
            (f"this program needs {_shown(MINIMUM_VERSION)} or newer",),
            f"update Ollama: {_DOWNLOAD}",
        )
    elif version[:2] < TESTED_VERSION[:2]:
        yield Finding(
            "version-older",
            "warning",
            f"Ollama {text} places models differently than computed here",
            (f"the arithmetic is that of {_shown(TESTED_VERSION)}; older versions count layers"
             " in another way",),
            f"update Ollama: {_DOWNLOAD}",
        )  # fmt: skip
    else:
        yield Finding("version", "ok", "version")


def _shown(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))


def _exposed(seen: Observations) -> Iterator[Finding]:
    """An address of every interface lets anybody in the network use and delete models."""
    if seen.environment.source not in ("process", "service"):
        return
    value = unquote(seen.environment.variables.get("OLLAMA_HOST", ""))
    host = value.rpartition("://")[2].partition("/")[0]
    if host.count(":") == 1 or host.startswith("["):
        host = host.rpartition(":")[0] if not host.endswith("]") else host
    if not value or host not in _EVERYWHERE:
        return
    yield Finding(
        "exposed",
        "warning",
        "every computer in the network can use and delete the models of this server",
        (f"the server has OLLAMA_HOST={value}, and Ollama asks for no password",),
        steps_to_set(seen, "OLLAMA_HOST", "127.0.0.1:11434"),
    )


def _ignored(seen: Observations) -> Iterator[Finding]:
    settings = server_settings(seen)
    for text in settings.ignored:
        name = text.partition("=")[0]
        if name == "OLLAMA_KV_CACHE_TYPE":
            yield Finding(
                "kv-cache-type",
                "problem",
                "no model loads: OLLAMA_KV_CACHE_TYPE is not a KV cache type",
                (text,),
                steps_to_set(seen, name, "q8_0"),
                also=(steps_to_unset(seen, name),),
            )
        else:
            yield Finding(
                "setting-ignored",
                "warning",
                f"{name} has no effect",
                (text,),
                steps_to_unset(seen, name),
            )
    if settings.gpu_overhead.is_set:
        yield Finding(
            "gpu-overhead",
            "warning",
            "OLLAMA_GPU_OVERHEAD keeps no memory free for GGUF models",
            ("it only lowers the context that Ollama chooses by itself",),
            steps_to_set(seen, "LLAMA_ARG_FIT_TARGET", "2048"),
            gain="keeps 2 GiB free on each GPU",
        )


def _differs(seen: Observations) -> Iterator[Finding]:
    """Variables that are set in this shell and that the server does not have."""
    environment = seen.environment
    if environment.source not in ("process", "service") or not seen.server.is_local:
        return
    differing = {
        name: value
        for name, value in environment.shell.items()
        if name not in _NOT_SERVERS and environment.variables.get(name) != value
    }
    if not differing:
        yield Finding("settings", "ok", "settings")
        return
    where = "the running server" if environment.source == "process" else "the Ollama service"
    evidence = []
    for name, value in differing.items():
        other = environment.variables.get(name)
        has = "does not have it" if other is None else f"has {other!r}"
        evidence.append(f"{name}={value!r} here; {where} {has}")
    name, value = next(iter(differing.items()))
    names = ", ".join(differing)
    yield Finding(
        "shell-only",
        "warning",
        f"{names}: set in this shell, which the server does not see",
        tuple(evidence),
        steps_to_set(seen, name, value),
    )


def _proxies(seen: Observations) -> Iterator[Finding]:
    environment = seen.environment
    ours, theirs = environment.shell_proxy, environment.proxy
    known = environment.source in ("process", "service")
    found = False
    if seen.server.is_local and (ours.http or ours.https) and not ours.spares_loopback:
        found = True
        yield Finding(
            "proxy-for-loopback",
            "warning",
            "programs of this shell may ask the proxy for the server on this computer",
            ("HTTP_PROXY or HTTPS_PROXY is set, and NO_PROXY does not name 127.0.0.1",),
            "export NO_PROXY=localhost,127.0.0.1,::1",
        )
    if known and ours.https and not theirs.https:
        found = True
        yield Finding(
            "proxy-missing",
            "warning",
            "the server pulls models without the proxy that this shell uses",
            ("HTTPS_PROXY is set here; the server, which does the pulling, does not have it",),
            steps_to_set(seen, "HTTPS_PROXY", "(the address of the proxy)"),
        )
    if known and theirs.http and not theirs.spares_loopback:
        found = True
        yield Finding(
            "proxy-in-server",
            "warning",
            "HTTP_PROXY in the server's environment can break its connections",
            ("Ollama pulls over HTTPS and needs HTTPS_PROXY only",),
            steps_to_unset(seen, "HTTP_PROXY"),
        )
    if not found:
        yield Finding("proxy", "ok", "proxy")
