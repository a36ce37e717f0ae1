"""The registry reader against a small registry on loopback, sound and faulty."""

from __future__ import annotations

import json
import socket
import ssl
import threading
import urllib.error
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support import registry_server as faults
from support.gguf_bytes import LLAMA, LLAMA_TENSORS, gguf_bytes, small_model
from support.registry_server import FakeRegistry, running_registry

from assistant.errors import GgufError, OfflineError, RegistryError, UnknownModelError
from assistant.models import http_reader
from assistant.models.gguf import read_header
from assistant.models.http_reader import HttpReader
from assistant.models.names import ModelName
from assistant.models.registry import RegistryReader
from assistant.units import MIB

DATA = Path(__file__).parent.parent / "data"
MODEL = small_model()
PARAMS = {"num_ctx": 8192, "stop": ["<end>"], "temperature": 1}


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    with running_registry() as running:
        yield running


@pytest.fixture
def elsewhere() -> Iterator[FakeRegistry]:
    """A second host: the storage that a registry redirects to, or a stranger."""
    with running_registry() as running:
        yield running


class Reader(RegistryReader):
    """A reader that does not really wait between tries, and notes how long it would have."""

    def __init__(self, cache: Path | None, *, timeout_s: float = 3.0, **options: Any) -> None:
        self.waits: list[float] = []
        self.now = 1_800_000_000.0
        total = options.pop("total_timeout_s", 20.0)
        http = HttpReader(timeout_s=timeout_s, total_timeout_s=total, sleep=self.waits.append)
        super().__init__(cache, http=http, clock=lambda: self.now, **options)


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path / "cache")


class TestReading:
    def test_a_whole_model(self, registry: FakeRegistry, reader: Reader) -> None:
        projector = gguf_bytes({"general.architecture": "clip"}, [("v.a", (32,), "F32")])
        name = registry.add_model(
            MODEL, params=PARAMS, projector=projector, extra={"license": b"MIT", "system": b"Hi"}
        )
        model = reader.read(name, with_projector=True)
        config = {"model_format": "gguf", "model_family": "llama", "file_type": "Q4_K_M"}
        assert model.name == name.render()
        assert model.model_bytes == len(MODEL)
        assert model.projector_bytes == len(projector)
        assert model.params == PARAMS
        assert model.num_ctx == 8192
        assert model.config == config
        assert model.download_bytes == sum(map(len, registry.blobs.values()))
        kinds = ["model", "template", "license", "system", "projector", "params"]
        assert [layer.kind for layer in model.layers] == kinds
        assert model.model_digest == faults.digest(MODEL)
        assert model.header == replace(read_header(MODEL), metadata=model.header.metadata)  # type: ignore[union-attr]
        assert model.header is not None
        assert model.header.metadata["llama.block_count"] == 2
        assert model.header.data_missing_bytes == 0
        assert model.projector_header is not None
        assert model.projector_header.is_projector
        assert model.notes == ()

    def test_the_requests(self, registry: FakeRegistry, reader: Reader) -> None:
        name = registry.add_model(MODEL, params=PARAMS)
        reader.read(name)
        (manifest,) = registry.asked("/manifests/")
        assert manifest.path == "/v2/library/tiny/manifests/latest"
        assert manifest.headers["Accept"] == faults.MANIFEST_TYPE
        (blob,) = registry.asked(faults.digest(MODEL))
        assert blob.headers["Range"] == f"bytes=0-{len(MODEL) - 1}"
        for request in registry.requests:
            assert "Cookie" not in request.headers
            assert "Authorization" not in request.headers
            assert request.headers["User-Agent"].startswith("local-model-assistant/")

    def test_no_header_when_it_is_not_wanted(self, registry: FakeRegistry, reader: Reader) -> None:
        model = reader.read(registry.add_model(MODEL), with_header=False)
        assert model.header is None
        assert not registry.asked(faults.digest(MODEL))

    def test_a_large_header_comes_in_doubling_ranges(
        self, registry: FakeRegistry, reader: Reader
    ) -> None:
        keys = {**LLAMA, "tokenizer.ggml.merges": ["x" * 90_000] * 200}
        body = gguf_bytes(keys, LLAMA_TENSORS, data=True)
        model = reader.read(registry.add_model(body + bytes(32 * MIB)))
        assert model.header is not None
        assert model.header.header_bytes > 17 * MIB
        ranges = [r.headers["Range"] for r in registry.asked("/blobs/") if "Range" in r.headers]
        assert ranges == [f"bytes=0-{16 * MIB - 1}", f"bytes={16 * MIB}-{32 * MIB - 1}"]

    def test_only_the_header_is_fetched(self, registry: FakeRegistry, reader: Reader) -> None:
        body = gguf_bytes(LLAMA, [("w", (1024, 1024, 9), "F32")], data=True)
        sent = []

        def count(handler: Any, whole: bytes) -> None:
            handler.sound(whole)
            sent.append(handler.headers.get("Range"))

        name = registry.add_model(body)
        registry.always["/blobs/" + faults.digest(body)] = count
        model = reader.read(name)
        assert sent == [f"bytes=0-{16 * MIB - 1}"]
        assert model.model_bytes > 36 * MIB

    def test_a_model_that_is_not_gguf(self, registry: FakeRegistry, reader: Reader) -> None:
        config = {"model_format": "safetensors"}
        name = registry.add_model(b"tensors", config=config)
        path = next(iter(registry.manifests))
        manifest = registry.manifests[path].replace(b"image.model", b"image.tensor")
        registry.manifests[path] = manifest
        model = reader.read(name)
        assert (model.header, model.model_digest) == (None, None)
        assert model.model_bytes == 7
        assert model.notes == ("this model is not GGUF but safetensors",)

    @pytest.mark.parametrize("kind", ["a\x1b[2J", 5, None, ""])
    def test_a_format_that_says_nothing(
        self, registry: FakeRegistry, reader: Reader, kind: Any
    ) -> None:
        name = registry.add_model(b"", config={"model_format": kind})
        path = next(iter(registry.manifests))
        registry.manifests[path] = registry.manifests[path].replace(b"image.model", b"image.other")
        assert reader.read(name).notes == ("there is no GGUF file in this model",)

    def test_a_cloud_model(self, registry: FakeRegistry, reader: Reader) -> None:
        config = {"remote_host": "https://ollama.com", "remote_model": "big"}
        name = registry.add_model(b"", config=config)
        path = next(iter(registry.manifests))
        registry.manifests[path] = registry.manifests[path].replace(
            b"image.model", b"image.license"
        )
        assert "cloud" in reader.read(name).notes[0]

    def test_a_split_file_is_noted(self, registry: FakeRegistry, reader: Reader) -> None:
        body = gguf_bytes({**LLAMA, "split.count": 3, "split.no": 0}, LLAMA_TENSORS)
        model = reader.read(registry.add_model(body))
        assert model.header is not None
        assert model.header.notes == ("only part 1 of 3 was read",)

    def test_the_recorded_answers_of_a_real_registry(
        self, registry: FakeRegistry, reader: Reader
    ) -> None:
        # gemma3:270m as Ollama 0.33 pushed it to an OCI registry.
        recorded = json.loads((DATA / "registry_gemma3_270m.json").read_text())
        for blob in (recorded["config"].encode(), recorded["params"].encode()):
            registry.blobs[faults.digest(blob)] = blob
        name = registry.add_manifest(recorded["manifest"]["text"].encode())
        model = reader.read(name, with_header=False)
        assert model.manifest_digest == recorded["manifest"]["headers"]["docker-content-digest"]
        assert model.model_bytes == 253_113_024
        assert model.download_bytes == 253_113_024 + 476 + 77 + 156
        assert model.config["file_type"] == "Q4_K_M"
        assert model.params["stop"] == ["<end_of_turn>"]
        assert model.num_ctx is None


class TestCache:
    def test_the_second_read_asks_nothing(self, registry: FakeRegistry, reader: Reader) -> None:
        name = registry.add_model(MODEL, params=PARAMS)
        first = reader.read(name)
        count = len(registry.requests)
        assert reader.read(name) == first
        assert len(registry.requests) == count

    def test_an_old_manifest_is_asked_for_again(
        self, registry: FakeRegistry, reader: Reader
    ) -> None:
        name = registry.add_model(MODEL)
        reader.read(name)
        other = gguf_bytes(LLAMA, LLAMA_TENSORS[:2], data=True)
        registry.add_model(other)
        assert reader.read(name).model_bytes == len(MODEL)
        reader.now += 7200
        assert reader.read(name).model_bytes == len(other)

    def test_offline_reads_what_was_read_before(
        self, registry: FakeRegistry, reader: Reader, tmp_path: Path
    ) -> None:
        name = registry.add_model(MODEL, params=PARAMS)
        first = reader.read(name)
        count = len(registry.requests)
        offline = Reader(tmp_path / "cache", offline=True)
        offline.now += 10**8
        assert offline.read(name) == first
        assert len(registry.requests) == count

    def test_offline_without_it_is_an_error(self, registry: FakeRegistry, tmp_path: Path) -> None:
        name = registry.add_model(MODEL)
        with pytest.raises(OfflineError, match="never read"):
            Reader(tmp_path, offline=True).read(name)
        Reader(tmp_path).read(name, with_header=False)
        count = len(registry.requests)
        with pytest.raises(OfflineError, match="model of"):
            Reader(tmp_path, offline=True).read(name)
        assert len(registry.requests) == count

    def test_an_unreachable_registry_gives_the_old_answer(
        self, registry: FakeRegistry, reader: Reader
    ) -> None:
        name = registry.add_model(MODEL)
        first = reader.read(name)
        reader.now += 7200
        registry.always["/"] = faults.hang_up
        model = reader.read(name)
        assert model.header == first.header
        assert model.notes == (f"{name.host} cannot be reached; sizes are those of 2027-01-15",)

    @pytest.mark.parametrize("kind", ["manifests", "blobs", "headers"])
    @pytest.mark.parametrize("damage", [b"", b"rubbish", None])
    def test_a_damaged_entry_is_fetched_again(
        self,
        registry: FakeRegistry,
        reader: Reader,
        tmp_path: Path,
        kind: str,
        damage: bytes | None,
    ) -> None:
        name = registry.add_model(MODEL, params=PARAMS)
        first = reader.read(name)
        entries = list((tmp_path / "cache" / kind).iterdir())
        assert entries
        for entry in entries:
            body = entry.read_bytes()
            entry.write_bytes(body.replace(b"1", b"2") if damage is None else damage)
        count = len(registry.requests)
        assert reader.read(name) == first
        assert len(registry.requests) > count
        count = len(registry.requests)
        assert reader.read(name) == first
        assert len(registry.requests) == count

    def test_a_header_entry_with_a_right_checksum_and_wrong_content(
        self, registry: FakeRegistry, reader: Reader
    ) -> None:
        name = registry.add_model(MODEL)
        first = reader.read(name)
        assert reader.cache is not None
        path = reader.cache._path("headers", faults.digest(MODEL)).with_suffix(".json")
        for entry in ({}, {"version": 3}, {"metadata": {"a": None}}, {"tensors": [[1]]}):
            reader.cache._write_document(path, entry)
            assert reader.read(name) == first

    def test_a_cache_that_cannot_be_written(self, registry: FakeRegistry, tmp_path: Path) -> None:
        blocked = tmp_path / "file"
        blocked.write_text("not a folder")
        name = registry.add_model(MODEL)
        assert Reader(blocked / "cache").read(name).header is not None
        assert Reader(None).read(name).header is not None

    def test_no_half_written_entries(self, reader: Reader, tmp_path: Path) -> None:
        assert reader.cache is not None
        reader.cache.keep_blob("sha256:" + "0" * 64, b"x")
        assert [p.name for p in (tmp_path / "cache" / "blobs").iterdir()] == ["sha256-" + "0" * 64]


class TestFaults:
    @pytest.mark.parametrize("fault", [
        faults.status(500), faults.status(502), faults.status(503), faults.status(429),
        faults.hang_up, faults.cut_off,
    ])  # fmt: skip
    @pytest.mark.parametrize("where", ["/manifests/", "/blobs/"])
    def test_a_passing_fault_is_survived(
        self, registry: FakeRegistry, reader: Reader, fault: faults.Fault, where: str
    ) -> None:
        name = registry.add_model(MODEL, params=PARAMS)
        registry.faults[where] = [fault, fault]
        assert reader.read(name).header is not None
        assert reader.waits == [0.5, 1.0]

    @pytest.mark.parametrize(
        ("fault", "message"),
        [
            (faults.status(500, {"error": "out of order"}), "500.*out of order"),
            (faults.status(429), "refuses more requests"),
            (faults.hang_up, "cannot read from 127"),
            (faults.cut_off, "the answer ended after"),
        ],
    )
    def test_a_lasting_fault_is_given_up(
        self, registry: FakeRegistry, reader: Reader, fault: faults.Fault, message: str
    ) -> None:
        name = registry.add_model(MODEL)
        registry.always["/manifests/"] = fault
        with pytest.raises(RegistryError, match=message) as caught:
            reader.read(name)
        assert len(registry.requests) == 4
        assert caught.value.hint
        assert "\n" not in caught.value.message

    def test_retry_after_is_heeded_within_reason(
        self, registry: FakeRegistry, reader: Reader
    ) -> None:
        name = registry.add_model(MODEL)
        registry.faults["/manifests/"] = [
            faults.status(429, Retry_After="3"),
            faults.status(429, Retry_After="86400"),
            faults.status(503, Retry_After="soon"),
        ]
        reader.read(name, with_header=False)
        assert reader.waits == [3.0, 10.0, 2.0]

    def test_an_unknown_model(self, registry: FakeRegistry, reader: Reader) -> None:
        name = replace(registry.add_model(MODEL), tag="nope")
        with pytest.raises(UnknownModelError, match=r"has no model 'http://.*tiny:nope'"):
            reader.read(name)
        assert len(registry.requests) == 1

    def test_hugging_face_answers_400_for_a_missing_quantization(
        self, registry: FakeRegistry, reader: Reader
    ) -> None:
        name = registry.add_model(MODEL)
        words = "The specified tag is not available in the repository.\nPlease use another."
        registry.always["/manifests/"] = faults.status(400, {"error": words})
        with pytest.raises(UnknownModelError, match=r"not available in the repository\. Please"):
            reader.read(name)

    @pytest.mark.parametrize(
        ("answer", "words"),
        [
            (faults.status(500, b"Out of\x1b[1m order", Content_Type="text/plain"), "Out of"),
            (faults.status(500, {"message": "no disk"}), "no disk"),
            (faults.status(500, {"errors": [{"message": "broken"}]}), "broken"),
            (faults.status(500, {"error": "x" * 5000}), "xxx"),
            (faults.status(500, b"<html>", Content_Type="text/html"), "Internal Server Error"),
            (faults.status(500, {"errors": []}), "Internal Server Error"),
            (faults.status(500, b"[" * 9000), "Internal Server Error"),
        ],
    )
    def test_the_words_of_the_server(
        self, registry: FakeRegistry, reader: Reader, answer: faults.Fault, words: str
    ) -> None:
        name = registry.add_model(MODEL)
        registry.always["/manifests/"] = answer
        with pytest.raises(RegistryError, match=words) as caught:
            reader.read(name)
        assert caught.value.message.isprintable()
        assert len(caught.value.message) < 300

    @pytest.mark.parametrize("code", [401, 403])
    def test_a_private_model(self, registry: FakeRegistry, reader: Reader, code: int) -> None:
        name = registry.add_model(MODEL)
        registry.always["/manifests/"] = faults.status(code)
        with pytest.raises(RegistryError, match="without a login"):
            reader.read(name)

    def test_a_blob_that_is_gone(self, registry: FakeRegistry, reader: Reader) -> None:
        name = registry.add_model(MODEL)
        del registry.blobs[faults.digest(MODEL)]
        with pytest.raises(RegistryError, match="model blob is not there"):
            reader.read(name)

    def test_an_ignored_range(self, registry: FakeRegistry, reader: Reader) -> None:
        keys = {**LLAMA, "tokenizer.ggml.merges": ["x" * 90_000] * 200}
        body = gguf_bytes(keys, LLAMA_TENSORS, data=True)
        name = registry.add_model(body)
        registry.always[faults.digest(body)] = faults.ignore_range
        model = reader.read(name)
        assert model.header is not None
        assert model.header.header_bytes > 17 * MIB

    def test_a_server_that_gives_less_than_asked(
        self, registry: FakeRegistry, reader: Reader
    ) -> None:
        name = registry.add_model(MODEL)

        def sparing(handler: Any, body: bytes) -> None:
            first = int(handler.headers["Range"].removeprefix("bytes=").split("-")[0])
            part = body[first : first + 1000]
            end = first + len(part) - 1
            where = {"Content-Range": f"bytes {first}-{end}/{len(body)}"}
            handler.answer(206, part, where)

        registry.always[faults.digest(MODEL)] = sparing
        assert reader.read(name).header is not None

    @pytest.mark.parametrize(
        ("where", "fault", "message"),
        [
            ("model", faults.wrong_range, "another part of the file"),
            ("model", faults.status(206, b"x", Content_Range="bytes 0-0/5"), "has 5 bytes, not"),
            ("params", faults.changed, "params blob does not match its digest"),
            ("config", faults.changed, "config blob does not match its digest"),
            ("params", faults.endless, "more than 1,048,576 bytes"),
            ("manifest", faults.endless, "more than 4,194,304 bytes"),
            ("manifest", faults.status(200, b"[" * 5_000_000), "at most 4,194,304"),
            ("manifest", faults.status(200, b"<html>", Content_Type="text/html"), "web page"),
            ("manifest", faults.status(200, b"x", Content_Encoding="gzip"), "compressed"),
            ("manifest", faults.status(200, b"{"), "not a manifest"),
            ("manifest", faults.status(200, b"[" * 100_000), "not a manifest"),
            ("manifest", faults.status(302), "redirects to nowhere"),
            ("manifest", faults.status(204, b""), "answered 204"),
        ],
    )
    def test_wrong_answers(
        self, registry: FakeRegistry, reader: Reader, where: str, fault: faults.Fault, message: str
    ) -> None:
        name = registry.add_model(MODEL, params=PARAMS)
        config = next(b for b in registry.blobs.values() if b"model_family" in b)
        paths = {
            "model": faults.digest(MODEL),
            "params": faults.digest(json.dumps(PARAMS).encode()),
            "config": faults.digest(config),
            "manifest": "/manifests/",
        }
        registry.always[paths[where]] = fault
        with pytest.raises(RegistryError, match=message) as caught:
            reader.read(name)
        assert "\n" not in caught.value.message

    @pytest.mark.parametrize(
        "manifest",
        [
            b"",
            b"null",
            b"[]",
            b'{"layers": {}}',
            b'{"layers": [1]}',
            b'{"manifests": []}',
            b'{"layers": [{"mediaType": "a", "digest": "sha256:../../x", "size": 1}]}',
            b'{"layers": [{"mediaType": "a", "digest": "sha256:' + b"0" * 64 + b'", "size": -1}]}',
            b'{"layers": [{"mediaType": "a", "digest": "sha256:' + b"0" * 64 + b'", "size": true}]}',  # noqa: E501
            b'{"layers": [{"digest": "sha256:' + b"0" * 64 + b'", "size": 1}]}',
            b'{"layers": [], "config": []}',
        ],
    )  # fmt: skip
    def test_nonsense_manifests(
        self, registry: FakeRegistry, reader: Reader, manifest: bytes
    ) -> None:
        with pytest.raises(RegistryError, match="manifest"):
            reader.read(registry.add_manifest(manifest))

    def test_a_manifest_that_is_not_the_one_announced(
        self, registry: FakeRegistry, reader: Reader
    ) -> None:
        registry.manifest_headers["Docker-Content-Digest"] = "sha256:" + "0" * 64
        with pytest.raises(RegistryError, match="manifest does not match its digest"):
            reader.read(registry.add_model(MODEL))

    def test_params_that_are_no_object(self, registry: FakeRegistry, reader: Reader) -> None:
        with pytest.raises(RegistryError, match="params blob is not a JSON object"):
            reader.read(registry.add_model(MODEL, params=[1]))

    def test_a_model_blob_that_is_not_gguf(self, registry: FakeRegistry, reader: Reader) -> None:
        with pytest.raises(GgufError, match="not a GGUF file") as caught:
            reader.read(registry.add_model(b"x" * 5000))
        assert "registry" in (caught.value.hint or "")

    def test_a_silent_server_times_out(self, registry: FakeRegistry, tmp_path: Path) -> None:
        name = registry.add_model(MODEL)
        registry.always["/"] = faults.slow(1.0)
        with pytest.raises(RegistryError, match="no answer in time"):
            Reader(tmp_path, timeout_s=0.1).read(name)

    def test_a_dripping_server_is_left(self, registry: FakeRegistry, tmp_path: Path) -> None:
        name = registry.add_model(MODEL)
        registry.always["/"] = faults.dripping
        with pytest.raises(RegistryError, match="takes too long"):
            Reader(tmp_path, total_timeout_s=0.3).read(name)

    def test_nobody_listening_is_not_tried_again(self, tmp_path: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        reader = Reader(tmp_path)
        name = ModelName(model="tiny", host=f"127.0.0.1:{port}", scheme="http")
        with pytest.raises(RegistryError, match="refused") as caught:
            reader.read(name)
        assert reader.waits == []
        assert caught.value.hint


class TestRedirects:
    def test_range_is_kept_and_nothing_secret_sent(
        self, registry: FakeRegistry, elsewhere: FakeRegistry, reader: Reader
    ) -> None:
        name = registry.add_model(MODEL, params=PARAMS)
        elsewhere.blobs = dict(registry.blobs)
        registry.always["/blobs/"] = faults.redirect(f"http://{elsewhere.host}/")
        assert reader.read(name).header is not None
        (request,) = elsewhere.asked(faults.digest(MODEL))
        assert request.headers["Range"] == f"bytes=0-{len(MODEL) - 1}"
        assert not {"Authorization", "Cookie"} & set(request.headers)

    @pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
    def test_every_redirect(
        self, registry: FakeRegistry, elsewhere: FakeRegistry, reader: Reader, code: int
    ) -> None:
        name = registry.add_model(MODEL)
        elsewhere.blobs = dict(registry.blobs)
        registry.always["/blobs/"] = faults.redirect(f"http://{elsewhere.host}/", code)
        assert reader.read(name).header is not None

    def test_the_token_stays_with_its_host(
        self, registry: FakeRegistry, elsewhere: FakeRegistry, reader: Reader
    ) -> None:
        name = registry.add_model(MODEL)
        elsewhere.blobs = dict(registry.blobs)
        protect(registry, then=faults.redirect(f"http://{elsewhere.host}/"))
        assert reader.read(name).header is not None
        assert registry.asked(faults.digest(MODEL))[-1].headers["Authorization"] == "Bearer t0k3n"
        assert elsewhere.requests
        for request in elsewhere.requests:
            assert "Authorization" not in request.headers

    def test_a_registry_that_moved(
        self, registry: FakeRegistry, elsewhere: FakeRegistry, reader: Reader
    ) -> None:
        # hf.co answers everything with a redirect to huggingface.co.
        name = registry.add_model(MODEL, params=PARAMS)
        elsewhere.blobs, elsewhere.manifests = registry.blobs, registry.manifests
        registry.always["/v2/"] = faults.redirect(f"http://{elsewhere.host}/")
        assert reader.read(name).header is not None
        (manifest,) = elsewhere.asked("/manifests/")
        assert manifest.headers["Accept"] == faults.MANIFEST_TYPE
        missing = replace(name, tag="none")
        with pytest.raises(UnknownModelError):
            reader.read(missing)
        protect(elsewhere)
        with pytest.raises(RegistryError, match="without a login"):
            reader.read(missing)
        assert not elsewhere.asked("/token")

    def test_a_redirect_loop(self, registry: FakeRegistry, reader: Reader) -> None:
        name = registry.add_model(MODEL)
        registry.always["/manifests/"] = faults.redirect(f"http://{registry.host}/")
        with pytest.raises(RegistryError, match="redirects more than 5 times"):
            reader.read(name)
        assert len(registry.requests) == 6

    @pytest.mark.parametrize(
        "target",
        [
            "http://registry.example/x",
            "http://user:secret@127.0.0.1/x",
            "file:///etc/passwd",
            "ftp://127.0.0.1/x",
            "http://[::1/x",
            "http://127.0.0.1:99999/x",
            "http://" + "a" * 80 + ".b/x",
        ],
    )
    def test_addresses_that_are_not_followed(
        self, registry: FakeRegistry, reader: Reader, target: str
    ) -> None:
        name = registry.add_model(MODEL)
        registry.always["/manifests/"] = faults.redirect(target)
        with pytest.raises(RegistryError) as caught:
            reader.read(name)
        assert "secret" not in caught.value.message
        assert len(registry.requests) == 1

    def test_plain_http_only_to_this_computer(self, tmp_path: Path) -> None:
        name = ModelName(model="tiny", host="registry.example", scheme="http")
        with pytest.raises(RegistryError, match=r"plain http to registry\.example"):
            Reader(tmp_path).read(name)


def protect(registry: FakeRegistry, *, realm: str = "", then: faults.Fault | None = None) -> None:
    """Make the registry want an anonymous token for everything under /v2/."""
    realm = realm or f"http://{registry.host}/token?a=b"
    challenge = f'Bearer realm="{realm}",service="reg",scope="repository:library/tiny:pull"'

    def guard(handler: Any, body: bytes) -> None:
        if handler.headers.get("Authorization") != "Bearer t0k3n":
            handler.answer(401, b"{}", {"WWW-Authenticate": challenge})
        elif then is not None and "/blobs/" in handler.path:
            then(handler, body)
        else:
            handler.sound(body or None)

    registry.always["/v2/"] = guard
    registry.always.setdefault("/token", faults.status(200, {"token": "t0k3n"}))


class TestLogin:
    def test_an_anonymous_token(self, registry: FakeRegistry, reader: Reader) -> None:
        name = registry.add_model(MODEL, params=PARAMS)
        protect(registry)
        assert reader.read(name).header is not None
        (token,) = registry.asked("/token")
        scope = "scope=repository%3Alibrary%2Ftiny%3Apull"
        assert token.path == f"/token?a=b&service=reg&{scope}"
        assert "Authorization" not in token.headers

    def test_a_realm_on_another_host_is_not_asked(
        self, registry: FakeRegistry, elsewhere: FakeRegistry, reader: Reader
    ) -> None:
        name = registry.add_model(MODEL)
        protect(registry, realm=f"http://{elsewhere.host}/token")
        with pytest.raises(RegistryError, match="login from another host"):
            reader.read(name)
        assert elsewhere.requests == []

    @pytest.mark.parametrize(
        "answer", [faults.status(200, {"no": "token"}), faults.status(200, b"x"),
                   faults.status(200, {"token": "a\r\nEvil: 1"}), faults.status(200, {"token": 5})]
    )  # fmt: skip
    def test_a_useless_token(
        self, registry: FakeRegistry, reader: Reader, answer: faults.Fault
    ) -> None:
        name = registry.add_model(MODEL)
        registry.always["/token"] = answer
        protect(registry)
        with pytest.raises(RegistryError, match="gave no token"):
            reader.read(name)

    def test_a_token_that_does_not_help(self, registry: FakeRegistry, reader: Reader) -> None:
        name = registry.add_model(MODEL)
        registry.always["/token"] = faults.status(200, {"access_token": "other"})
        protect(registry)
        with pytest.raises(RegistryError, match="without a login"):
            reader.read(name)
        assert len(registry.asked("/token")) == 1

    def test_another_kind_of_login(self, registry: FakeRegistry, reader: Reader) -> None:
        name = registry.add_model(MODEL)
        registry.always["/v2/"] = faults.status(401, WWW_Authenticate='Basic realm="x"')
        with pytest.raises(RegistryError, match="without a login"):
            reader.read(name)


class TestAddresses:
    def test_a_host_that_speaks_no_tls(self, registry: FakeRegistry, reader: Reader) -> None:
        name = replace(registry.add_model(MODEL), scheme="https")
        with pytest.raises(RegistryError, match=r"no secure connection \(\w+[\w ]*\)$"):
            reader.read(name)

    @pytest.mark.parametrize(
        ("host", "expected"),
        [("localhost", True), ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True),
         ("10.0.0.1", False), ("localhost.example", False), ("", False)],
    )  # fmt: skip
    def test_loopback(self, host: str, expected: bool) -> None:
        assert http_reader.is_loopback(host) is expected

    def test_a_proxy_is_used_for_the_world_and_not_for_this_computer(
        self, registry: FakeRegistry, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as proxy:
            seen: list[bytes] = []

            def serve() -> None:
                connection, _ = proxy.accept()
                seen.append(connection.recv(1000))
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
                connection.close()

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
            assert Reader(tmp_path).read(registry.add_model(MODEL)).header is not None
            reader = Reader(tmp_path)
            reader._http = HttpReader(timeout_s=3, attempts=1)
            with pytest.raises(RegistryError, match=r"registry\.example: .*403"):
                reader.read(ModelName(model="tiny", host="registry.example"))
            thread.join()
        assert seen[0].startswith(b"CONNECT registry.example:443 ")

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (urllib.error.URLError(socket.gaierror(-2, "x")), "its address cannot be found"),
            (urllib.error.URLError(TimeoutError()), "no answer in time"),
            (TimeoutError("timed out"), "no answer in time"),
            (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
            (ssl.SSLCertVerificationError(1, "x"), "certificate is not trusted"),
            (OSError("Tunnel connection failed"), "Tunnel connection failed"),
        ],
    )
    def test_reasons_in_words(self, error: Exception, words: str) -> None:
        assert words in http_reader._reason(error)

    @pytest.mark.parametrize("host", ["", "a/b", "a@b", "a b", "a?b"])
    def test_hosts_that_are_none(self, host: str, tmp_path: Path) -> None:
        with pytest.raises(RegistryError):
            Reader(tmp_path).read(ModelName(model="tiny", host=host))
