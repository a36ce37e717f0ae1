"""Records of a GGUF header: what `assistant.models.gguf` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from assistant.models.quantization import TensorType, file_type_from_id, parse_quantization


@dataclass(frozen=True, slots=True)
class Omitted:
    """A value too large to keep: an array of `count` items, or a string of `count` bytes."""

    type: str
    count: int


Scalar = int | float | bool | str
Value = Scalar | tuple[Scalar, ...] | Omitted
Metadata = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One row of the tensor table; `dims[0]` is the row length, `bytes` without padding."""

    name: str
    dims: tuple[int, ...]
    type: TensorType
    bytes: int

    @property
    def elements(self) -> int:
        """Number of weights in the tensor."""
        count = 1
        for dim in self.dims:
            count *= dim
        return count


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What stands in front of the data of a GGUF file, or of all parts of a split one.

    `data_offset` is where the data of the (first) file starts; `data_bytes` all tensors with
    padding; `file_bytes` the size of what was read, None when the source did not say.
    `data_missing_bytes` is how much of the data is not there: all of it for a bare header,
    some for an interrupted download, None when the size is unknown.
    """

    version: int
    metadata: Metadata
    tensors: tuple[TensorInfo, ...]
    alignment: int
    header_bytes: int
    data_offset: int
    data_bytes: int
    file_bytes: int | None = None
    data_missing_bytes: int | None = None
    split_no: int = 0
    split_count: int = 1
    notes: tuple[str, ...] = ()

    @property
    def data_present(self) -> bool:
        """True when the tensors' data is known to be all there."""
        return bool(self.tensors) and self.data_missing_bytes == 0

    @property
    def architecture(self) -> str | None:
        """`general.architecture` as written, before any rewrite."""
        name = self.metadata.get("general.architecture")
        return name if isinstance(name, str) else None

    @property
    def is_projector(self) -> bool:
        """True for an image or audio projector (mmproj), which is no model by itself."""
        return self.architecture == "clip" or self.metadata.get("general.type") == "mmproj"

    @property
    def is_adapter(self) -> bool:
        """True for a LoRA adapter."""
        return self.metadata.get("general.type") == "adapter"

    @property
    def parameter_count(self) -> int:
        """Weights in all tensors."""
        return sum(tensor.elements for tensor in self.tensors)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors without padding."""
        return sum(tensor.bytes for tensor in self.tensors)

    @property
    def quantization(self) -> str | None:
        """Name of the file type in `quantization.FILE_TYPES`, or None.

        From `general.file_type`, else the usual mixture of the tensor type that holds the
        most bytes.
        """
        number = self.metadata.get("general.file_type")
        if isinstance(number, int) and (found := file_type_from_id(number)) is not None:
            return found.name
        return _heaviest_type(self.tensors)


def _heaviest_type(tensors: tuple[TensorInfo, ...]) -> str | None:
    weights: dict[str, int] = {}
    for tensor in tensors:
        weights[tensor.type.name] = weights.get(tensor.type.name, 0) + tensor.bytes
    if not weights:
        return None
    return parse_quantization(max(weights, key=lambda name: weights[name]))
