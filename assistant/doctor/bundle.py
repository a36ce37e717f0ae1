"""What goes into a bug report, without anything that says whose computer it is.

Two fences. What is gathered at all is an allow-list (`serialize`): no Modelfile texts, no
prompts, of the environment only the variables in `KEPT_VARIABLES`. What is left is rewritten
word by word: home folders, user and host names, addresses, credentials, and the names of
models from registries other than Ollama's and Hugging Face's.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from assistant.doctor.records import Finding, Observations
from assistant.doctor.serialize import finding_to_dict, observations_to_dict
from assistant.errors import ModelNameError
from assistant.models.names import DEFAULT_HOST, HUGGING_FACE_HOSTS, parse_model_name

SCHEMA: Final = 1
_PUBLIC_HOSTS: Final = frozenset({DEFAULT_HOST, "ollama.com", "www.ollama.com"})
_SYSTEM_USERS: Final = frozenset({"root", "ollama", "nobody", "daemon", "system"})
_CREDENTIALS: Final = re.compile(r"(?<=://)[^/\s@]+@")
_URL_HOST: Final = re.compile(r"(?<=://)(\[[^\]\s]+\]|[^/:\s'\"]+)")
_EMAIL: Final = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_HOMES: Final = re.compile(r"(?:/home/|/Users/|[A-Za-z]:[\\/]+Users[\\/]+)[^/\\\s'\":;,]+")
_IPV4: Final = re.compile(r"(?<![\d.])\d{1,3}(?:\.\d{1,3}){3}(?![\d.]*\.\d)")
_IPV6: Final = re.compile(r"(?<![\w:.])[0-9A-Fa-f:]*:[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(?:%\w+)?")
_MAC: Final = re.compile(
    r"(?<![0-9A-Fa-f:])(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?![0-9A-Fa-f:])"
)
_LONG: Final = re.compile(r"[A-Za-z0-9+/_=-]{24,}")
_MARKED: Final = re.compile(
    r"(?i)\b((?:api[_-]?key|token|secret|password|passwd|authorization|bearer)\b[\"']?\s*[=: ]\s*)"
    r"(\S+)"
)
_PREFIXED: Final = re.compile(r"\b(?:sk|hf|ghp|gho|github_pat|xox[a-z]|AKIA)[-_]?[A-Za-z0-9_-]{8,}")
_DIGEST: Final = re.compile(r"(?:sha256[-:])?[0-9a-f]{64}(?:-partial(?:-\d+)?)?|[0-9a-f]{12}")
_LOCAL_NAMES: Final = ("localhost", "ollama.com", "registry.ollama.ai", "hf.co", "huggingface.co")


@dataclass(frozen=True, slots=True)
class Identity:
    """What names this computer and its person: taken out wherever it stands."""

    homes: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """This program and what it runs on."""

    version: str
    python: str
    system: str


def bundle(
    seen: Observations, findings: Iterable[Finding], *, program: Program, identity: Identity
) -> dict[str, Any]:
    """Return the bundle as JSON values, free of personal data."""
    content = {
        "schema": SCHEMA,
        "program": {
            "version": program.version,
            "python": program.python,
            "system": program.system,
        },
        "findings": [finding_to_dict(finding) for finding in findings],
        "observed": observations_to_dict(seen),
    }
    clean = cleaner(seen, identity)
    return {key: _walk(value, clean) for key, value in content.items()}


def contents(data: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is inside a bundle, one line for each part."""
    observed = data["observed"]
    models = observed["models"]
    return (
        f"program {data['program']['version']}, Python {data['program']['python']}",
        f"{len(data['findings'])} findings",
        "the machine: processor, memory, GPUs, drivers",
        f"the server: version, settings, {len(models or ())} models by name and size",
        "folders as paths without your name; unfinished downloads; swap; proxies as yes or no",
        "nothing of: prompts, Modelfiles, notes, addresses, user or host names, passwords",
    )


def cleaner(seen: Observations, identity: Identity) -> Callable[[str], str]:
    """Return a function that takes out of a text what names a person, a computer or a registry."""
    names = model_names(seen)
    hosts = {_host_of(f"//{seen.server.url.partition('://')[2]}")}
    for variables in (seen.environment.variables, seen.environment.shell):
        value = variables.get("OLLAMA_HOST", "")
        hosts.add(_host_of(f"//{value.partition('://')[2] or value}"))
    for name in names:
        if is_private(name):
            hosts.add(_host_of(f"//{name.partition('://')[2] or name}"))
    return scrubber(replace(identity, hosts=(*identity.hosts, *filter(None, hosts))), names)


def scrubber(identity: Identity, names: Iterable[str] = ()) -> Callable[[str], str]:
    """Return a function that takes personal data out of a text.

    `names` are model names; those of private registries become a hash, everywhere.
    """
    private = {name: hidden_name(name) for name in names if is_private(name)}
    known = sorted(private, key=len, reverse=True)
    homes = sorted((home.rstrip("/\\") for home in identity.homes), key=len, reverse=True)
    users = _words(user for user in identity.users if user.lower() not in _SYSTEM_USERS)
    hosts = _words(host for host in identity.hosts if host.lower() not in _LOCAL_NAMES)

    def clean(text: str) -> str:
        for name in known:
            text = re.sub(re.escape(name), private[name], text, flags=re.IGNORECASE)
        for home in homes:
            if home:
                text = text.replace(home, "~")
        text = _CREDENTIALS.sub("", text)
        text = _EMAIL.sub("<email>", text)
        text = _HOMES.sub("~", text)
        text = _MARKED.sub(r"\1<secret>", text)
        text = _PREFIXED.sub("<secret>", text)
        text = _MAC.sub("<address>", text)
        text = _IPV4.sub(_address, text)
        text = _IPV6.sub(_address, text)
        text = _URL_HOST.sub(_url_host, text)
        for pattern, word in ((hosts, "<host>"), (users, "<user>")):
            if pattern is not None:
                text = pattern.sub(word, text)
        return _LONG.sub(_long, text)

    return clean


def is_private(name: str) -> bool:
    """Return whether a model's name says a registry that is not a public one."""
    try:
        host = parse_model_name(name).host.lower()
    except ModelNameError:
        return "/" in name
    return host not in _PUBLIC_HOSTS and host not in HUGGING_FACE_HOSTS


def hidden_name(name: str) -> str:
    """Return a name that stands for a private one: the same for the same model, and no host."""
    try:
        parsed = parse_model_name(name)
        inner = f"{parsed.namespace}/{parsed.model}:{parsed.tag}".lower()
    except ModelNameError:
        inner = name.lower()
    return f"private-{hashlib.sha256(inner.encode()).hexdigest()[:10]}"


def model_names(seen: Observations) -> set[str]:
    """Return every model name among the observations, as it may stand in a text."""
    names = {model.name for model in seen.models or ()}
    names |= {model.name for model in seen.loaded or ()}
    names |= set(seen.upstream)
    for history in seen.ledger.aliases if seen.ledger is not None else ():
        names |= {entry.model for entry in history.versions} | {history.alias}
    pending = None if seen.ledger is None else seen.ledger.pending
    for target in pending.targets if pending is not None else ():
        names |= {target.model, target.alias}
    if seen.asked is not None:
        names.add(seen.asked)
    names |= (
        {run.model for run in seen.machine.measured_runs} if seen.machine is not None else set()
    )
    if seen.machine is not None and seen.machine.ollama is not None:
        names |= {*(seen.machine.ollama.models or ()), *(seen.machine.ollama.loaded or ())}
    return names | {name.removesuffix(":latest") for name in names}


def _words(names: Iterable[str]) -> re.Pattern[str] | None:
    """Return a pattern for names that stand alone, not inside a word."""
    known = sorted({name for name in names if name}, key=len, reverse=True)
    if not known:
        return None
    joined = "|".join(re.escape(name) for name in known)
    return re.compile(rf"(?<![A-Za-z0-9])(?:{joined})(?![A-Za-z0-9])", re.IGNORECASE)


def _host_of(address: str) -> str:
    """Return the host of `//host:port/path` that is a name and not an address, or nothing."""
    text = address.removeprefix("//").partition("/")[0].rpartition("@")[2]
    host = text.rpartition(":")[0] if text.count(":") == 1 else text
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return "" if host.startswith("[") else host
    return ""


def _address(match: re.Match[str]) -> str:
    text = match[0]
    try:
        ip = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return text
    return text if ip.is_loopback or ip.is_unspecified else "<address>"


def _url_host(match: re.Match[str]) -> str:
    host = match[1].strip("[]").lower()
    if host.startswith("<") or host in _LOCAL_NAMES:
        return match[0]
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return "<host>"
    return match[0] if ip.is_loopback or ip.is_unspecified else "<address>"


def _long(match: re.Match[str]) -> str:
    """Replace what looks like a key: long, with letters and digits, and no path or digest."""
    text = match[0]
    if _DIGEST.fullmatch(text.rpartition("/")[2]) or "private-" in text:
        return text
    longest = max(re.split(r"[/_=-]", text), key=len)
    mixed = any(c.isdigit() for c in longest) and any(c.isalpha() for c in longest)
    return "<secret>" if len(longest) >= 20 and mixed else text


def _walk(value: Any, clean: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, Mapping):
        return {clean(str(key)): _walk(item, clean) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(item, clean) for item in value]
    return value
