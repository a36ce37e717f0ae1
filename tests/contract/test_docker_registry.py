"""The registry reader against a real OCI registry (Debian's docker-registry) on loopback.

Skipped, with the reason, where the program is not installed. Ollama pushes to and pulls from
such a registry; the models here are tiny, the protocol is the whole one.
"""

from __future__ import annotations

import http.client
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.gguf_bytes import LLAMA, LLAMA_TENSORS, gguf_bytes, small_model
from support.registry_server import CONFIG_TYPE, LAYER, MANIFEST_TYPE, digest

from assistant.errors import UnknownModelError
from assistant.models.gguf import read_header
from assistant.models.names import parse_model_name
from assistant.models.registry import RegistryReader
from assistant.units import MIB

PROGRAM = shutil.which("docker-registry")
pytestmark = pytest.mark.skipif(
    PROGRAM is None, reason="docker-registry is not installed (Debian package docker-registry)"
)


class Registry:
    """A running docker-registry, and how to push to it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.host = f"127.0.0.1:{port}"

    def request(
        self, method: str, path: str, body: bytes = b"", kind: str = "application/octet-stream"
    ) -> tuple[int, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            connection.request(method, path, body=body, headers={"Content-Type": kind})
            answer = connection.getresponse()
            answer.read()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}
        finally:
            connection.close()

    def push_blob(self, repository: str, body: bytes) -> dict[str, Any]:
        status, headers = self.request("POST", f"/v2/{repository}/blobs/uploads/")
        assert status == 202
        path = headers["location"].partition(self.host)[2] or headers["location"]
        joint = "&" if "?" in path else "?"
        status, _ = self.request("PUT", f"{path}{joint}digest={digest(body)}", body)
        assert status == 201
        return {"digest": digest(body), "size": len(body)}

    def push_model(self, repository: str, tag: str, layers: dict[str, bytes]) -> bytes:
        config = self.push_blob(repository, json.dumps({"model_family": "llama"}).encode())
        manifest = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {"mediaType": CONFIG_TYPE, **config},
            "layers": [
                {"mediaType": LAYER + kind, **self.push_blob(repository, body)}
                for kind, body in layers.items()
            ],
        }
        raw = json.dumps(manifest).encode()
        path = f"/v2/{repository}/manifests/{tag}"
        status, _ = self.request("PUT", path, raw, MANIFEST_TYPE)
        assert status == 201
        return raw


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    assert PROGRAM is not None
    folder = tmp_path_factory.mktemp("registry")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "config.yml"
    config.write_text(
        "version: 0.1\nlog: {level: error}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    log = (folder / "log").open("w")
    process = subprocess.Popen([PROGRAM, "serve", str(config)], stdout=log, stderr=log)
    running = Registry(port)
    try:
        _wait_for(running, process, folder / "log")
        yield running
    finally:
        process.terminate()
        process.wait(timeout=10)
        log.close()


def _wait_for(running: Registry, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        try:
            if running.request("GET", "/v2/")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail("docker-registry does not answer")


def test_a_pushed_model_is_read_back(registry: Registry, tmp_path: Path) -> None:
    gguf = small_model()
    projector = gguf_bytes({"general.architecture": "clip"}, [("v.a", (32,), "F32")], data=True)
    layers = {
        "model": gguf,
        "projector": projector,
        "template": b"{{ .Prompt }}",
        "params": json.dumps({"num_ctx": 4096}).encode(),
    }
    manifest = registry.push_model("library/tiny", "1b", layers)
    reader = RegistryReader(tmp_path)
    model = reader.read(
        parse_model_name(f"http://{registry.host}/library/tiny:1b"), with_projector=True
    )
    assert model.manifest_digest == digest(manifest)
    assert model.model_bytes == len(gguf)
    assert model.projector_bytes == len(projector)
    config_bytes = len(b'{"model_family": "llama"}')
    assert model.download_bytes == sum(map(len, layers.values())) + config_bytes
    assert model.num_ctx == 4096
    assert model.config == {"model_family": "llama"}
    assert model.header is not None
    assert model.header.tensors == read_header(gguf).tensors
    assert model.header.data_present
    assert model.projector_header is not None
    assert model.projector_header.is_projector
    offline = RegistryReader(tmp_path, offline=True)
    name = parse_model_name(f"http://{registry.host}/library/tiny:1b")
    assert offline.read(name, with_projector=True) == model


def test_a_header_beyond_the_first_range(registry: Registry, tmp_path: Path) -> None:
    keys = {**LLAMA, "tokenizer.ggml.merges": ["x" * 90_000] * 200}
    gguf = gguf_bytes(keys, LLAMA_TENSORS, data=True) + bytes(20 * MIB)
    registry.push_model("someone/large", "latest", {"model": gguf})
    model = RegistryReader(tmp_path).read(parse_model_name(f"http://{registry.host}/someone/large"))
    assert model.header is not None
    assert model.header.header_bytes > 17 * MIB
    assert model.model_bytes == len(gguf)


def test_what_is_not_there(registry: Registry, tmp_path: Path) -> None:
    registry.push_model("library/tiny", "1b", {"model": small_model()})
    for missing in ("library/tiny:2b", "library/none:1b"):
        with pytest.raises(UnknownModelError, match="has no model"):
            RegistryReader(tmp_path).read(parse_model_name(f"http://{registry.host}/{missing}"))
