"""Models that the test server's registry has: recorded ones, and ones made from the catalog."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from assistant.fit.model_facts import facts_from_card, facts_from_show
from assistant.fit.records import ModelFacts, WeightBytes
from assistant.models.architecture import Architecture
from assistant.models.catalog import load_catalog
from assistant.models.names import parse_model_name
from assistant.models.quantization import TENSOR_TYPES_BY_NAME
from assistant.ollama.records import ShownModel
from tests.support.fake_ollama.state import (
    Layer,
    Manifest,
    Weights,
    digest_of,
    go_json,
)
from tests.support.fake_ollama.turns import ChatModel

TRACES = Path(__file__).parents[2] / "data" / "ollama_traces"
CHATML_TEMPLATE = (
    "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n"
    "{{ end }}<|im_start|>assistant\n"
)
TOOLS_TEMPLATE = (
    "{{- if .Tools }}{{ .Tools }}{{ end }}{{- range .Messages }}<|im_start|>{{ .Role }}\n"
    "{{ .Content }}{{ .ToolCalls }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
)


def trace(name: str) -> dict[str, Any]:
    """Return one recorded exchange."""
    exchange: dict[str, Any] = json.loads((TRACES / f"{name}.json").read_text())
    return exchange


@dataclass(frozen=True)
class LibraryModel:
    """A model that can be pulled: its weights, and the small layers that its maker put beside."""

    name: str
    weights: Weights
    template: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    system: str = ""
    license: str = ""
    projector_bytes: int = 0
    chat: ChatModel | None = None

    @property
    def family(self) -> str:
        """The word for its kind in `details`."""
        return self.weights.family

    @property
    def quantization(self) -> str:
        """Its file type, as `details` names it."""
        return self.weights.quantization

    @property
    def parameter_size(self) -> str:
        """Its parameters as `details` writes them."""
        return self.weights.parameter_size

    @property
    def context_length(self) -> int | None:
        """Tokens it was trained for."""
        return self.weights.context_length

    @property
    def embedding_length(self) -> int:
        """Length of its vectors."""
        return self.weights.embedding_length

    @property
    def contents(self) -> dict[str, bytes]:
        """The small layers' bytes by digest."""
        return {digest_of(data): data for _, data in self._small()}

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers in the order of the manifest, the weights first."""
        layers = [Layer("model", self.weights.digest, self.weights.size)]
        if self.projector_bytes:
            digest = digest_of(f"projector of {self.name}")
            layers.append(Layer("projector", digest, self.projector_bytes))
        layers += [Layer(kind, digest_of(data), len(data)) for kind, data in self._small()]
        return tuple(layers)

    @property
    def capabilities(self) -> tuple[str, ...]:
        """What `show` says that it can do: the file's own, and what the template adds."""
        return capabilities_with(self.weights.capabilities, self.template)

    def manifest(self) -> Manifest:
        """Return the manifest that a pull of it writes."""
        return Manifest(parse_model_name(self.name), self.layers, self.weights, self.capabilities)

    @property
    def download_bytes(self) -> int:
        """Bytes of a whole pull."""
        return self.manifest().size

    def moved(self) -> LibraryModel:
        """Return the model as its tag looks after an update: other weights, other digests."""
        digest = digest_of(self.weights.digest + " updated")
        return replace(self, weights=replace(self.weights, digest=digest))

    def _small(self) -> Iterator[tuple[str, bytes]]:
        for kind, text in (
            ("template", self.template),
            ("system", self.system),
            ("license", self.license),
        ):
            if text:
                yield kind, text.encode()
        if self.params:
            yield "params", params_content(self.params)


def params_content(params: Mapping[str, Any]) -> bytes:
    """Return a params layer as Ollama writes it."""
    return go_json(dict(sorted(params.items()))).encode() + b"\n"


def capabilities_with(own: Sequence[str], template: str) -> tuple[str, ...]:
    """Return a file's capabilities with those that a template gives by its variables."""
    marks = (("tools", ".Tools"), ("insert", ".Suffix"), ("thinking", ".Thinking"))
    added = [word for word, mark in marks if mark in template and word not in own]
    return (*own, *added)


def library_model(
    name: str,
    *,
    size: int | None = None,
    capabilities: Sequence[str] | None = None,
    params: Mapping[str, Any] | None = None,
    system: str = "",
    license: str | None = None,
    template: str | None = None,
    quantization: str | None = None,
    context_length: int | None = None,
    chat: ChatModel | None = None,
) -> LibraryModel:
    """Return a model of the catalog as the registry would have it; what is given wins.

    Sizes, architecture and capabilities are the catalog's, so that estimates come true.

    Raises:
        UnknownModelError: the catalog does not know the name.
    """
    card, tag = load_catalog().find(name)
    facts = facts_from_card(card, tag)
    if context_length is not None:
        facts = replace(
            facts, architecture=replace(facts.architecture, context_length=context_length)
        )
    words = tuple(capabilities) if capabilities is not None else _in_order(facts.capabilities)
    facts = replace(facts, capabilities=frozenset(words))
    if template is None:
        template = TOOLS_TEMPLATE if "tools" in words else CHATML_TEMPLATE
        template = "" if "embedding" in words else template
    level = quantization or facts.quantization or "Q4_K_M"
    projector = facts.weights.projector_bytes if tag.projector_bytes else 0
    total = size or (facts.file_bytes or facts.weights.file_bytes)
    return LibraryModel(
        name=name,
        weights=weights_of(
            facts, size=total, quantization=level, capabilities=words, inline=not projector
        ),
        template=template,
        params=params or {},
        system=system,
        license=card.licence.name or "" if license is None else license,
        projector_bytes=projector,
        chat=chat,
    )


def weights_of(
    facts: ModelFacts,
    *,
    size: int,
    quantization: str,
    capabilities: Sequence[str],
    inline: bool = True,
) -> Weights:
    """Return the weights of a file of which only the facts are known.

    `inline` is True when the projector, if there is one, is in the same file.
    """
    arch = facts.architecture
    keys = metadata_of(arch, facts)
    hidden = {key: value for key, value in keys.items() if isinstance(value, list)}
    total = facts.parameters_total or 0
    return Weights(
        digest=digest_of(f"{facts.resolved} {quantization} {size}"),
        size=size,
        metadata={key: None if key in hidden else value for key, value in keys.items()},
        arrays=hidden,
        tensors=tuple(
            tensors_of(
                facts.weights if inline else replace(facts.weights, projector_bytes=0),
                arch,
                quantization,
            )
        ),
        family=arch.name,
        parameter_size=f"{total / 1e9:.1f}B" if total >= 1e9 else f"{total / 1e6:.2f}M",
        quantization=quantization,
        capabilities=tuple(capabilities),
        facts=facts,
    )


_KEYS = {
    "key_length": "attention.key_length",
    "value_length": "attention.value_length",
    "key_length_swa": "attention.key_length_swa",
    "value_length_swa": "attention.value_length_swa",
    "key_length_mla": "attention.key_length_mla",
    "value_length_mla": "attention.value_length_mla",
    "kv_lora_rank": "attention.kv_lora_rank",
    "q_lora_rank": "attention.q_lora_rank",
    "rope_dimension_count": "rope.dimension_count",
    "sliding_window": "attention.sliding_window",
    "sliding_window_pattern": "attention.sliding_window_pattern",
    "shared_kv_layers": "attention.shared_kv_layers",
    "head_count": "attention.head_count",
    "head_count_kv": "attention.head_count_kv",
    "ssm_conv_kernel": "ssm.conv_kernel",
    "ssm_inner_size": "ssm.inner_size",
    "ssm_state_size": "ssm.state_size",
    "ssm_group_count": "ssm.group_count",
    "ssm_time_step_rank": "ssm.time_step_rank",
    "recurrent_layers": "attention.recurrent_layers",
    "shortconv_l_cache": "shortconv.l_cache",
    "wkv_head_size": "wkv.head_size",
    "kda_head_dim": "kda.head_dim",
    "indexer_key_length": "attention.indexer.key_length",
}
"""Where a field's GGUF key is not its own name (`assistant.models.architecture_keys`)."""


def metadata_of(arch: Architecture, facts: ModelFacts) -> dict[str, Any]:
    """Return the GGUF keys that describe an architecture."""
    keys: dict[str, Any] = {"general.architecture": arch.name, "general.type": "model"}
    if facts.parameters_total:
        keys["general.parameter_count"] = facts.parameters_total
    for name in Architecture.__slots__:
        value = getattr(arch, name)
        if name in {"name", "tied_embeddings"} or value is None or value == 0:
            continue
        if isinstance(value, tuple):
            value = value[0] if len(set(value)) == 1 else list(value)
        keys[f"{arch.name}.{_KEYS.get(name, name)}"] = value
    keys["tokenizer.ggml.model"] = "gpt2"
    keys["tokenizer.ggml.tokens"] = None
    return dict(sorted(keys.items()))


_MAIN_TYPES = {"Q2": "Q2_K", "Q3": "Q3_K", "Q4": "Q4_K", "Q5": "Q5_K", "Q6": "Q6_K", "Q8": "Q8_0"}
_EMBEDDING_TYPES = ("Q4_K", "Q5_K", "Q6_K", "Q8_0", "F16", "F32", "Q4_0")


def tensors_of(
    weights: WeightBytes, arch: Architecture, quantization: str
) -> Iterator[dict[str, Any]]:
    """Yield a short tensor table with the right sum for every block and group."""
    main = quantization if quantization in {"F16", "BF16", "F32", "Q4_0", "Q4_1"} else None
    main = main or _MAIN_TYPES.get(quantization[:2], "Q4_K")

    def tensor(name: str, size: int) -> dict[str, Any]:
        kind = TENSOR_TYPES_BY_NAME[main]
        return {"name": name, "type": main, "shape": [size // kind.bytes * kind.block]}

    rows = arch.embedding_length * arch.vocab_size
    wanted = weights.token_embedding_bytes
    nearest = min(
        (TENSOR_TYPES_BY_NAME[name] for name in _EMBEDDING_TYPES),
        key=lambda kind: (
            abs(rows // kind.block * kind.bytes - wanted),
            arch.embedding_length % kind.block,
        ),
    )
    shape = [arch.embedding_length, arch.vocab_size]
    if arch.embedding_length % nearest.block:
        nearest = TENSOR_TYPES_BY_NAME["F16"]
    yield {"name": "output_norm.weight", "type": "F32", "shape": [arch.embedding_length]}
    yield {"name": "token_embd.weight", "type": nearest.name, "shape": shape}
    if weights.input_bytes > wanted:
        other = "position_embd" if arch.is_embedding else "per_layer_token_embd"
        yield tensor(f"{other}.weight", weights.input_bytes - wanted)
    if weights.projector_bytes:
        yield tensor("v.patch_embd.weight", weights.projector_bytes)
    if not weights.tied and weights.output_bytes:
        yield tensor("output.weight", weights.output_bytes)
    for block, size in enumerate(weights.block_bytes):
        experts = weights.block_expert_bytes[block]
        yield tensor(f"blk.{block}.ffn_down.weight", size - experts)
        if experts:
            yield tensor(f"blk.{block}.ffn_down_exps.weight", experts)


def _in_order(words: frozenset[str]) -> tuple[str, ...]:
    """Return capabilities in Ollama's order; a model that is no embedder completes."""
    known = ("completion", "embedding", "vision", "audio", "tools", "insert", "thinking")
    found = set(words) if "embedding" in words else {*words, "completion"}
    return tuple(word for word in known if word in found)


@cache
def recorded_model(
    name: str,
    *,
    show: str,
    size: int,
    from_safetensors: bool = False,
) -> LibraryModel:
    """Return a model as a real server showed it (`show` and `show`_verbose)."""
    body = trace(show)["body_json"]
    more = trace(f"{show}_verbose")["body_json"]["model_info"]
    arrays = {key: more[key] for key, value in body["model_info"].items() if value is None}
    capabilities = tuple(body["capabilities"])
    details = body["details"]
    facts = facts_from_show(
        ShownModel(
            name=name,
            metadata=body["model_info"],
            tensors=tuple((t["name"], t["type"], tuple(t["shape"])) for t in body["tensors"]),
            capabilities=frozenset(capabilities),
            quantization=details["quantization_level"],
        )
    )
    weights = Weights(
        digest=body["modelfile"].partition("/blobs/")[2][:71].replace("-", ":"),
        size=size,
        metadata=body["model_info"],
        arrays=arrays,
        tensors=tuple(body["tensors"]),
        family=details["family"],
        parameter_size=details["parameter_size"],
        quantization=details["quantization_level"],
        capabilities=capabilities,
        facts=facts,
        listed_as_completion=from_safetensors,
    )
    template = "" if body["template"] == "{{ .Prompt }}" else body["template"]
    return LibraryModel(name, weights, template, params=_shown_params(body.get("parameters", "")))


def _shown_params(text: str) -> dict[str, Any]:
    """Return the options in the text that `show` has of them."""
    params: dict[str, Any] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        parsed = json.loads(value)
        if name == "stop":
            params.setdefault(name, []).append(parsed)
        else:
            params[name] = parsed
    return params


SMOLLM2 = recorded_model("smollm2:135m", show="show_smollm2", size=98_362_432)
GEMMA3_270M = recorded_model("gemma3:270m", show="show_gemma3", size=253_113_024)
ALL_MINILM = recorded_model(
    "all-minilm:latest", show="show_embed", size=45_949_216, from_safetensors=True
)
