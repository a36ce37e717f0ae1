"""What a model registry answered before, kept on disk.

Blobs and headers are kept by digest, manifests by name (tags move). Every entry carries or is
checked against a checksum; one that does not hold counts as absent. A cache that cannot be
written is no reason to stop. The folder may be deleted at any time.
"""

from __future__ import annotations

import json
import os
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from assistant.errors import GgufError
from assistant.models.gguf import GgufHeader, Omitted, TensorInfo, Value
from assistant.models.quantization import tensor_bytes, tensor_type

_SCHEMA: Final = 1
_MAX_ENTRY_BYTES: Final = 64 * 1024 * 1024


class RegistryCache:
    """Manifests, small blobs and GGUF headers below one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def manifest(self, key: str) -> tuple[bytes, float] | None:
        """Return the manifest last seen under a full model name, and when (seconds)."""
        entry = self._document(self._manifest_path(key))
        if entry is None:
            return None
        try:
            body, fetched = str(entry["body"]).encode(), float(entry["fetched"])
        except (KeyError, TypeError, ValueError):
            return None
        return body, fetched

    def keep_manifest(self, key: str, body: bytes, fetched: float) -> None:
        """Keep a manifest under a full model name."""
        entry = {"name": key, "body": body.decode("utf-8", "replace"), "fetched": fetched}
        self._write_document(self._manifest_path(key), entry)

    def blob(self, digest: str) -> bytes | None:
        """Return a blob of that digest, or None."""
        body = _read(self._path("blobs", digest))
        return body if body is not None and f"sha256:{sha256(body).hexdigest()}" == digest else None

    def keep_blob(self, digest: str, body: bytes) -> None:
        """Keep a blob under its digest."""
        self._write(self._path("blobs", digest), body)

    def header(self, digest: str) -> GgufHeader | None:
        """Return the header of the GGUF blob of that digest, or None."""
        entry = self._document(self._path("headers", digest).with_suffix(".json"))
        if entry is None:
            return None
        try:
            return _header_from_json(entry)
        except (KeyError, TypeError, ValueError, GgufError):
            return None

    def keep_header(self, digest: str, header: GgufHeader) -> None:
        """Keep a parsed header under the digest of its GGUF blob."""
        path = self._path("headers", digest).with_suffix(".json")
        self._write_document(path, _header_to_json(header))

    def _path(self, kind: str, digest: str) -> Path:
        return self.folder / kind / digest.replace(":", "-")

    def _manifest_path(self, key: str) -> Path:
        # The name may hold characters that are no file name somewhere; its hash never does.
        return self.folder / "manifests" / f"{sha256(key.encode()).hexdigest()}.json"

    def _document(self, path: Path) -> dict[str, Any] | None:
        body = _read(path)
        if body is None:
            return None
        checksum, _, text = body.partition(b"\n")
        if sha256(text).hexdigest().encode() != checksum:
            return None
        try:
            entry = json.loads(text)
        except (ValueError, RecursionError):
            return None
        is_ours = isinstance(entry, dict) and entry.get("schema") == _SCHEMA
        return entry if is_ours else None

    def _write_document(self, path: Path, entry: dict[str, Any]) -> None:
        text = json.dumps({"schema": _SCHEMA, **entry}, separators=(",", ":")).encode()
        self._write(path, sha256(text).hexdigest().encode() + b"\n" + text)

    def _write(self, path: Path, body: bytes) -> None:
        import tempfile

        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(body)
                Path(temporary).replace(path)
            except BaseException:
                Path(temporary).unlink(missing_ok=True)
                raise
        except OSError:
            return


def _read(path: Path) -> bytes | None:
    try:
        if path.stat().st_size > _MAX_ENTRY_BYTES:
            return None
        return path.read_bytes()
    except OSError:
        return None


def _header_to_json(header: GgufHeader) -> dict[str, Any]:
    return {
        "version": header.version,
        "alignment": header.alignment,
        "header_bytes": header.header_bytes,
        "data_offset": header.data_offset,
        "data_bytes": header.data_bytes,
        "file_bytes": header.file_bytes,
        "data_missing_bytes": header.data_missing_bytes,
        "split": [header.split_no, header.split_count],
        "notes": header.notes,
        "metadata": {key: _value_to_json(value) for key, value in header.metadata.items()},
        "tensors": [[t.name, t.dims, t.type.id] for t in header.tensors],
    }


def _value_to_json(value: Value) -> Any:
    if isinstance(value, Omitted):
        return {"type": value.type, "count": value.count}
    return value


def _header_from_json(entry: dict[str, Any]) -> GgufHeader:
    return GgufHeader(
        version=int(entry["version"]),
        metadata={str(key): _value_from_json(value) for key, value in entry["metadata"].items()},
        tensors=tuple(_tensor_from_json(row) for row in entry["tensors"]),
        alignment=int(entry["alignment"]),
        header_bytes=int(entry["header_bytes"]),
        data_offset=int(entry["data_offset"]),
        data_bytes=int(entry["data_bytes"]),
        file_bytes=entry["file_bytes"],
        data_missing_bytes=entry["data_missing_bytes"],
        split_no=int(entry["split"][0]),
        split_count=int(entry["split"][1]),
        notes=tuple(entry["notes"]),
    )


def _value_from_json(value: Any) -> Value:
    if isinstance(value, dict):
        return Omitted(str(value["type"]), int(value["count"]))
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(type(value))


def _tensor_from_json(row: Any) -> TensorInfo:
    name, dims, type_id = row
    kind = tensor_type(type_id)
    dims = tuple(int(dim) for dim in dims)
    return TensorInfo(str(name), dims, kind, tensor_bytes(kind, dims))
