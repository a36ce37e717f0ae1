"""Build `assistant/models/data/catalog.json` from the project's facts.

    python scripts/build_catalog.py FACTS_FOLDER [OUTPUT]

FACTS_FOLDER holds `models.json` and `model_sources.json`: figures about the models of the
Ollama library, each with its source. What is judgement or our own wording (licence terms,
languages, cautions, notes, corrections, evidence tables) is in `scripts/catalog_input/`,
reviewed by hand. The layout of the output is described in `docs/catalog.md` and in
`assistant/models/data/catalog.schema.json`.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from catalog_architecture import (
    architecture_fields,
    count_parameters,
    draft_parameters,
    vision_bytes,
)
from catalog_tags import tag_rows

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
INPUT = Path(__file__).resolve().parent / "catalog_input"
OUTPUT = ROOT / "assistant" / "models" / "data" / "catalog.json"


def main(arguments: list[str]) -> int:
    """Write the catalog and print what is in it."""
    if not arguments:
        print(__doc__)
        return 2
    facts_folder = Path(arguments[0])
    output = Path(arguments[1]) if len(arguments) > 1 else OUTPUT
    facts = json.loads((facts_folder / "models.json").read_text(encoding="utf-8"))
    listing = json.loads((facts_folder / "model_sources.json").read_text(encoding="utf-8"))
    catalog = build(facts, listing["listing_date"])
    text = json.dumps(catalog, ensure_ascii=False, separators=(",", ":"))
    output.write_text(text.replace('},{"name"', '},\n{"name"') + "\n", encoding="utf-8")
    tags = sum(len(m.get("tags", [])) for m in catalog["models"])
    print(f"{len(catalog['models'])} models, {tags} files, {len(text) / 1e3:.0f} kB -> {output}")
    return 0


def build(facts: list[Row], as_of: str) -> Row:
    """Return the whole catalog as it is written."""
    licences = load_input("licences.toml")["licence"]
    reviewed = load_input("models.toml")
    corrections = expand_languages(reviewed["models"], reviewed["language_sets"])
    evidence = load_input("evidence.toml")["evidence"]
    sources: dict[str, int] = {}
    by_id = {m["id"]: m for m in facts}
    models = [
        model_row(
            fact,
            corrections=[c for c in corrections if matches(c["match"], fact["id"])],
            extra_scores=[e for e in evidence if e["model"] == fact["id"]],
            licences=licences,
            sources=sources,
            by_id=by_id,
        )
        for fact in facts
    ]
    return {
        "schema": 1,
        "as_of": as_of,
        "licences": [[x["name"], x["commercial_use"], x["note"]] for x in licences],
        "sources": list(sources),
        "models": models,
    }


def load_input(name: str) -> Row:
    """Return a reviewed input file."""
    with (INPUT / name).open("rb") as file:
        return tomllib.load(file)


def expand_languages(entries: list[Row], sets: dict[str, list[str]]) -> list[Row]:
    """Return the entries with the named sets of languages written out."""
    for entry in entries:
        if "languages" in entry:
            entry["languages"] = [
                code
                for word in entry["languages"]
                for code in (sets[word[1:]] if word.startswith("@") else [word])
            ]
    return entries


def matches(patterns: list[str], model_id: str) -> bool:
    """Return whether a model is meant by one of the patterns; `!` takes models out again."""
    wanted = [p for p in patterns if not p.startswith("!")]
    unwanted = [p[1:] for p in patterns if p.startswith("!")]
    return any(fnmatchcase(model_id, p) for p in wanted) and not any(
        fnmatchcase(model_id, p) for p in unwanted
    )


def model_row(
    fact: Row,
    *,
    corrections: list[Row],
    extra_scores: list[Row],
    licences: list[Row],
    sources: dict[str, int],
    by_id: dict[str, Row],
) -> Row:
    """Return one model as it is written; keys without a value are left out."""
    merged = merge_corrections(corrections)
    arch = architecture_fields(fact, merged)
    total, active = parameter_counts(fact, arch, merged)
    row: Row = {
        "name": fact["id"],
        "family": fact["family"],
        "title": merged.get("title", fact["title"]),
        "publisher": fact["publisher"],
        "release": merged.get("release", fact["release"]),
        "licence": licence_index(licences, merged.get("licence", fact["licence"]["name"])),
        "parameters": [total, active],
        "context": merged.get("context_length", fact["context_length"]),
        "capabilities": capabilities(fact, merged),
        "languages": languages(fact, merged),
        "hf_repo": fact["hf_repo"],
        "default_tag": default_suffix(fact),
        "cautions": cautions(fact, merged),
        "notes": merged.get("notes", []),
        "hints": hints(fact),
        "inline_projector": inline_projector(fact, merged),
        "confidence": merged.get("confidence") or confidence(fact, arch),
        "draft_parameters": draft_parameters(arch) if merged.get("draft_layer") else None,
        "mla_keys": mla_keys(fact, merged),
        "architecture": arch,
        "variants": variants(merged, by_id),
        "tags": tag_rows(fact, merged),
        "benchmarks": benchmark_rows(fact, extra_scores, sources),
    }
    if row["confidence"] == "published":
        del row["confidence"]
    return {k: v for k, v in row.items() if v not in (None, [], {}, "")}


def merge_corrections(corrections: list[Row]) -> Row:
    """Return all entries about a model as one; lists add up, later single values win."""
    merged: Row = {}
    for entry in corrections:
        for key, value in entry.items():
            if key in {"notes", "cautions", "add_capabilities", "drop_capabilities"}:
                merged[key] = [*merged.get(key, []), *value]
            elif key == "architecture":
                merged[key] = {**merged.get(key, {}), **value}
            elif key != "match":
                merged[key] = value
    return merged


def parameter_counts(fact: Row, arch: Row | None, merged: Row) -> tuple[int | None, int | None]:
    """Return the total and active parameters.

    The count from the tensors wins where it agrees with the published figure, because it is
    exact and some published figures count a tied output matrix twice.
    """
    published = merged.get("parameters_total_b", fact["params_total_b"])
    active_b = merged.get("parameters_active_b", fact["params_active_b"])
    total = None if published is None else round(published * 1e9)
    counted = None if arch is None else count_parameters(arch)
    dense = arch is None or not arch.get("expert_count")
    if counted is not None and (total is None or abs(counted - total) <= 0.01 * total):
        if active_b is None or (dense and active_b == published):
            return counted, counted
        return counted, round(active_b * 1e9)
    if active_b is None:
        return total, total if dense else None
    return total, round(active_b * 1e9)


def licence_index(licences: list[Row], name: str) -> int:
    """Return the place of a licence in the table."""
    for index, licence in enumerate(licences):
        if name in licence["names"] or name == licence["name"]:
            return index
    raise SystemExit(f"licence {name!r} is not in licences.toml")


def capabilities(fact: Row, merged: Row) -> list[str]:
    """Return what the library's page and a server's own listing say the model can do."""
    known = set(fact["capabilities"])
    reported = fact.get("capabilities_api") or {}
    known |= set(reported.get("value", [])) - {"completion"}
    known |= set(merged.get("add_capabilities", []))
    return sorted(known - set(merged.get("drop_capabilities", [])))


def languages(fact: Row, merged: Row) -> list[str] | None:
    """Return language codes; those of `models.toml` win over the model card's labels."""
    if "languages" in merged:
        return list(merged["languages"]) or None
    return [code for code in fact["languages"] or [] if code not in {"rl", "lg-ai"}] or None


def default_suffix(fact: Row) -> str | None:
    """Return the tag that a bare pull gives, without the model's name."""
    own = [t["tag"] for t in fact["tags"]]
    if not own:
        return None
    name = fact.get("default_tag")
    if name not in own:
        name = fact["id"] if fact["id"] in own else f"{fact['ollama_name']}:latest"
    return str(name if name in own else own[0]).split(":")[1]


def cautions(fact: Row, merged: Row) -> list[str]:
    """Return the words that keep a model from being a default pick."""
    words = set(merged.get("cautions", []))
    if not fact["tags"]:
        words.add("not-in-library")
    elif all(t["format"] != "gguf" or "cloud" in t["tag"] for t in fact["tags"]):
        words.add("cloud-only")
    release = merged.get("release", fact["release"])
    if release and release < "2025" and "embedding" not in capabilities(fact, merged):
        words.add("outdated")
    return sorted(words)


def hints(fact: Row) -> list[str]:
    """Return how the library's files differ from the usual quantization mix."""
    arch = fact["arch"] or {}
    found = []
    if (arch.get("size_check") or {}).get("attn_v_kept_f16"):
        found.append("attn_v_f16")
    if arch.get("attention_k_eq_v_on_full_layers"):
        found.append("k_eq_v")
    return found


def inline_projector(fact: Row, merged: Row) -> int | None:
    """Return the bytes of a vision part that sits inside the model's own blob."""
    if "inline_projector_bytes" in merged:
        return int(merged["inline_projector_bytes"])
    if "vision" not in capabilities(fact, merged):
        return None
    known = fact.get("projector")
    if known:
        if known["kind"] != "inside the model blob":
            return None
        if known.get("bytes_approx"):
            return int(known["bytes_approx"])
    return vision_bytes(fact)


def confidence(fact: Row, arch: Row | None) -> str:
    """Return how far the architecture numbers can be trusted."""
    source = " ".join(fact["sources"].get("arch") or [])
    check = (fact["arch"] or {}).get("size_check") or {}
    verdict = check.get("verdict") or ""
    if verdict.startswith(("consistent", "text tensors")):
        return "checked"
    if arch is None or "S_BUILDER" in source or verdict.startswith("not reproduced"):
        return "doubtful"
    if any(k.endswith(("_uncertain", "head_count_note")) for k in fact["arch"]):
        return "doubtful"
    return "published"


def mla_keys(fact: Row, merged: Row) -> str | None:
    """Return whether the library's file carries the MLA keys; None for models without MLA."""
    if not (fact["arch"] or {}).get("mla"):
        return None
    stated = merged.get("mla_keys")
    if stated:
        return str(stated)
    return {True: "present", False: "absent", None: "unknown"}[fact["arch"]["mla_in_gguf"]]


def variants(merged: Row, by_id: dict[str, Row]) -> list[Row]:
    """Return the architectures of tags that differ from the model's own."""
    found = []
    for entry in merged.get("tag_architectures", []):
        base = architecture_fields(by_id[entry["like"]], {})
        found.append({**(base or {}), **entry.get("fields", {})})
    return found


def benchmark_rows(fact: Row, extra: list[Row], sources: dict[str, int]) -> list[list[Any]]:
    """Return scores as [name, value, setting, reported by, source index, date]."""
    rows: list[list[Any]] = []
    seen = set()
    for score in [*fact["benchmarks"], *extra]:
        source, date = clean_source(score["source"], score["name"])
        if score.get("date"):
            date = score["date"]
        if date is None and score["reported_by"] == "maker":
            date = fact["release"]
        setting = clean_setting(score.get("setting"))
        key = (score["name"], score["value"], setting if "reasoning" in str(setting) else "")
        if key in seen:
            continue
        seen.add(key)
        index = sources.setdefault(source, len(sources))
        by = reporter(fact, score)
        rows.append([score["name"], score["value"], setting, by, index, date])
    return rows


def reporter(fact: Row, score: Row) -> str | None:
    """Return who reported a score; makers also quote scores of each other's models."""
    by: str | None = score["reported_by"]
    quoted_by = {"zai-org/": "Zhipu AI / Z.ai", "Qwen3.6-": "Alibaba (Qwen)"}
    for start, maker in quoted_by.items():
        if by == "maker" and score["source"].startswith(start) and fact["publisher"] != maker:
            return "another maker"
    return by


def clean_setting(setting: str | None) -> str | None:
    """Return a setting in short and uniform words."""
    if setting is None or setting.strip() in {"", "-"}:
        return None
    if setting.startswith("reasoning off"):
        return "reasoning off"
    if setting.startswith("highest variant"):
        return "highest variant"
    words = setting.strip().rstrip(".").replace(" benchmark evaluation", "")
    return None if words.lower() in {"score", "accuracy", "standard evaluation"} else words


def clean_source(source: str, name: str) -> tuple[str, str | None]:
    """Return a source as a person can look it up, and when it was read where known."""
    if source.startswith("S_AA20"):
        return "Artificial Analysis leaderboard, mean of up to 20 metrics", "2026-09-12"
    if source.startswith("S_AA"):
        return "Artificial Analysis Intelligence Index v4.3", "2026-09-14"
    if "page read 2026-09-15" in source:
        return "public page quoting the score", "2026-09-15"
    date = "2026-10" if source.startswith("whatmodel.sh") else None
    if name.startswith("Arena Elo"):
        date = "2026-04"
    if source.startswith("google Gemma 4 model card"):
        return "Google Gemma 4 model card", date
    if source.startswith("S_MDEV, source "):
        return source.removeprefix("S_MDEV, source ") + " (models.dev)", date
    text = source.replace(" via S_LLMLB", " (llm-leaderboard data set)")
    text = re.sub(r"\s*\([^()]*read[^()]*\)", "", text)
    text = re.sub(r",?\s*(?:via\s+)?[a-z]+_[a-z]+ ids? \d+(?:, \d+)*", "", text)
    return text.strip(), date


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
