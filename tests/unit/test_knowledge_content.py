"""The guides: their form, their facts against known errors, and that each topic is found."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from assistant.knowledge.guides import Section, load_guides
from assistant.knowledge.search import search_guides
from assistant.models.catalog import load_catalog

ROOT = Path(__file__).parents[2]
GUIDES = load_guides()
SECTIONS = [
    pytest.param(name, section, id=f"{name}: {section.heading}")
    for name, guide in GUIDES.items()
    for section in guide.sections
]
LONGEST_FIRST_SENTENCE = 320
FEWEST_WORDS, MOST_WORDS = 25, 220

# Names that the guides give as examples and the catalog does not have.
NOT_IN_CATALOG = {
    "gpt-oss:120b-cloud": "runs on Ollama's servers; the catalog holds what runs locally",
    "kimi-k2.6:cloud": "runs on Ollama's servers; the catalog holds what runs locally",
    "qwen2.5-coder:1.5b-base": "a tag of the library; the catalog has the instruct tags",
}


# -- form --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(GUIDES))
def test_front_matter_is_complete(name: str) -> None:
    guide = GUIDES[name]
    assert guide.title
    assert len(guide.topics) >= 3
    assert len(set(guide.topics)) == len(guide.topics)
    assert guide.sources
    assert date.fromisoformat(guide.as_of) >= date(2026, 8, 21)
    text = (ROOT / "knowledge" / f"{name}.md").read_text(encoding="utf-8")
    assert f"\n# {guide.title}\n" in text, "the heading repeats the title"


@pytest.mark.parametrize("name", sorted(GUIDES))
def test_headings_are_unique_within_a_guide(name: str) -> None:
    counts = Counter(section.heading.lower() for section in GUIDES[name].sections)
    assert [heading for heading, count in counts.items() if count > 1] == []


def test_titles_are_unique() -> None:
    assert len({guide.title for guide in GUIDES.values()}) == len(GUIDES)


def _prose(section: Section) -> str:
    lines = (line for line in section.text.splitlines() if not line.lstrip().startswith("|"))
    return " ".join(" ".join(lines).split())


@pytest.mark.parametrize(("name", "section"), SECTIONS)
def test_section_answers_first_and_is_short(name: str, section: Section) -> None:
    assert len(section.first_sentence) <= LONGEST_FIRST_SENTENCE
    assert not section.text.startswith(("|", "-", "`" * 3)), "a sentence comes first"
    assert FEWEST_WORDS <= len(_prose(section).split()) <= MOST_WORDS
    assert len(section.asked) >= 3, "how people ask for it"


def test_comments_are_never_shown() -> None:
    shown = [f"{n}: {s.heading}" for n, s in _all_sections() if "<!--" in s.text or "-->" in s.text]
    assert shown == []


def _all_sections() -> Iterator[tuple[str, Section]]:
    for name, guide in GUIDES.items():
        for section in guide.sections:
            yield name, section


# -- facts -------------------------------------------------------------------------------------

# Claims about local models that go round and are wrong. A sentence may deny one.
WRONG = {
    "the default context is 2048": r"(default|without num_ctx)[^.;|]{0,40}\b(2,?048|2k)\b(?! for)",
    "Q4_K_L is a type": r"Q4_K_L",
    "GPTQ and AWQ need CUDA": r"\b(GPTQ|AWQ)\b[^.;|]{0,60}\b(CUDA|NVIDIA)[- ]only\b"
    r"|\b(GPTQ|AWQ)\b[^.;|]{0,40}\bonly (on|with|for) (CUDA|NVIDIA)",
    "ollama quantize is a command": r"`ollama quantize",
    "4 bits make a quarter of FP16": r"\b(4[- ]bits?|Q4_K_M|Q4)\b[^.;|]{0,50}"
    r"(\b4 ?x\b|four times|a quarter|75 ?%)",
    "8B at 32k takes 2 GB of cache": r"\b8B\b[^.;|]{0,60}\b32k\b[^.;|]{0,30}\b2(\.0)? Gi?B",
    "GGUF spelled out": r"GPT[- ]Generated",
    "Ollama runs AWQ": r"Ollama\b[^.;|]{0,20}\b(runs|loads|supports|imports)\b[^.;|]{0,30}"
    r"\b(AWQ|GPTQ|EXL2|ONNX)\b",
    "ollama list searches the library": r"`ollama list`[^.;|]{0,40}\b(search|available)",
    "heavier quantization is slower": r"quantiz\w+[^.;|]{0,40}\b(slows|slower)\b",
    "QLoRA is 8-bit": r"8[- ]bit[^.;|]{0,40}QLoRA|QLoRA[^.;|]{0,30}8[- ]bit",
    "Q4_1 has 4.5 bits": r"Q4_1\b[^.;|]{0,20}\b4\.5\b",
    "Q2_K has 2.67 bits": r"\b2\.67\b",
    "S, M and L are block sizes": r"\bS, M (and|or) L\b[^.;|]{0,40}\bblock size",
    "3090 Ti has 16 GB": r"3090 Ti\b[^.;,|]{0,20}\b16 GB",
    "2080 Ti has 12 GB": r"2080 Ti\b[^.;,|]{0,20}\b12 GB",
    "3080 Ti has 10 GB": r"3080 Ti\b[^.;,|]{0,20}\b10 GB",
    "a 70B needs 20 GB": r"\b70B\b[^.;|]{0,25}\b(needs|takes|fits)\b[^.;|]{0,15}\b2[0-4] Gi?B",
    "a 7B at Q8_0 fits 8 GB": r"\b7B\b[^.;|]{0,20}Q8_0[^.;|]{0,15}\bfits (in |on )?8 GB",
    "Mixtral fits 16 GB": r"Mixtral\b[^.;|]{0,30}\bfits\b[^.;|]{0,15}\b(16|24) GB",
    "a Mac's GPU has all RAM": r"GPU\b[^.;|]{0,20}\b(sees|uses|gets) all\b[^.;|]{0,15}(RAM|memory)",
    "Falcon uses ALiBi": r"Falcon\b[^.;|]{0,40}ALiBi",
    "Zephyr is a Llama": r"Zephyr\b[^.;|]{0,40}(based on|built on|fine-tune of|of) Llama",
    "Zephyr speaks ChatML": r"Zephyr\b[^.;|]{0,40}ChatML",
    "Yi-34B-Chat reads 200K": r"Yi[- ]34B[- ]Chat\b[^.;|]{0,30}\b200[kK]",
    "Mistral 7B v0.2 calls functions": r"\bv0\.2\b[^.;|]{0,40}(function|tool)",
    "there is a Llama 3.2 8B": r"Llama 3\.2 8B",
    "Llama speaks 100 languages": r"Llama 3\S*[^.;|]{0,40}\b100\+? languages",
    "Qwen2.5 speaks 100 languages": r"Qwen2\.5\b(?!-)[^.;|]{0,30}\b100\+? languages",
    "Gemma 7B has multi-query attention": r"Gemma[^.;|]{0,15}\b7B\b[^.;|]{0,30}multi-query",
    "DeepSeek Coder is Apache or MIT": r"DeepSeek Coder\b[^.;|]{0,20}\b(Apache|MIT)\b",
    "StableLM is Apache": r"StableLM\b[^.;|]{0,40}Apache",
    "all Qwen is Apache": r"\ball (of )?Qwen\b[^.;|]{0,40}Apache",
    "Command R may be sold": r"Command R\b[^.;|]{0,40}(Apache|MIT|commercial use allowed)",
    "Mistral Small is API-only": r"Mistral (Small|Large)\b[^.;|]{0,30}API[- ]only",
    "BGE is multilingual": r"\bbge-(large|base|small)\b[^.;|]{0,30}multilingual",
    "Code Llama 34B infills": r"Code Llama 34B\b[^.;|]{0,30}infill",
    "convert.py is current": r"python convert\.py|\./quantize\b",
    "exo is XO Labs": r"(?<!e)XO Labs",
    "MLX spelled out": r"Machine Learning Acceleration",
    "Llama 3 70B at Q2_K loses 20 to 30 %": r"Q2_K?\b[^.;|]{0,40}\b20 (to|-) 30 %",
    "Q8_0 costs 0.5 to 2 %": r"Q8_0[^.;|]{0,40}\b0\.5 (to|-) 2 %",
    "Llama 3.2 3B has 52 on GSM8K": r"Llama 3\.2 3B\b[^.;|]{0,60}GSM8K[^.;|]{0,10}\b52\b",
    "scores are measured at Q4": r"(scores|benchmarks) (are|were) (measured )?at Q4",
    "Llama 3.1 forbids training others": r"Llama 3\.[123]\b[^.;|]{0,40}forbids?[^.;|]{0,30}"
    r"(train|improve)",
}
DENIAL = re.compile(
    r"\b(no|not|none|never|nor|neither|cannot|wrong|false|myth|without|older|outdated|formerly|"
    r"instead of|label|removed|retired|rather than|they mean)\b|n't\b",
    re.IGNORECASE,
)


def is_made(claim: str, sentence: str) -> bool:
    found = re.search(WRONG[claim], sentence, re.IGNORECASE)
    return found is not None and DENIAL.search(sentence) is None


def sentences(section: Section) -> list[str]:
    """Return the sentences, table rows and list items of a section."""
    text = re.sub(r"\n(?=[|-])", "\0", section.text)
    return [" ".join(part.split()) for part in re.split(r"\0|\n\n|(?<=[.:!?])\s", text) if part]


@pytest.mark.parametrize("claim", sorted(WRONG))
def test_no_wrong_claim_is_made(claim: str) -> None:
    made = [
        f"{name}: {section.heading}: {sentence}"
        for name, section in _all_sections()
        for sentence in sentences(section)
        if is_made(claim, sentence)
    ]
    assert made == []


@pytest.mark.parametrize(
    ("claim", "wrong", "right"),
    [
        (
            "the default context is 2048",
            "Ollama's default context is 2048 tokens.",
            "No: the default context is not 2048 any more.",
        ),
        (
            "Q4_K_L is a type",
            "Q4_K_L is the best 4-bit type.",
            "Q4_K_L is a label of repackagers, no type of llama.cpp.",
        ),
        (
            "GPTQ and AWQ need CUDA",
            "AWQ runs only on NVIDIA cards.",
            "AWQ is not CUDA-only: ROCm works since 2024.",
        ),
        (
            "4 bits make a quarter of FP16",
            "A 4-bit file is exactly four times smaller.",
            "Q4_K_M is 3.3 times smaller than FP16.",
        ),
        (
            "8B at 32k takes 2 GB of cache",
            "Llama 3.1 8B at 32k takes 2 GB of cache.",
            "Llama 3.1 8B at 32k takes 4 GiB of cache.",
        ),
        ("Ollama runs AWQ", "Ollama runs AWQ files too.", "Ollama does not load AWQ files."),
        (
            "Zephyr is a Llama",
            "Zephyr is a fine-tune of Llama 2.",
            "Zephyr is a fine-tune of Mistral 7B.",
        ),
        (
            "there is a Llama 3.2 8B",
            "Llama 3.2 8B is the newest small one.",
            "There is no Llama 3.2 8B.",
        ),
    ],
)
def test_claims_are_told_from_denials(claim: str, wrong: str, right: str) -> None:
    assert is_made(claim, wrong)
    assert not is_made(claim, right)


MODEL_NAME = re.compile(r"`([a-z][a-z0-9.-]*:[A-Za-z0-9][\w.-]*)`")


def test_model_names_exist() -> None:
    catalog = load_catalog()
    unknown = {
        name: f"{guide}: {section.heading}"
        for guide, section in _all_sections()
        for name in MODEL_NAME.findall(section.text)
        if catalog.named(name) is None and catalog.card(name) is None
    }
    assert {n: where for n, where in unknown.items() if n not in NOT_IN_CATALOG} == {}
    assert set(NOT_IN_CATALOG) <= set(unknown), "no longer mentioned, or in the catalog now"


def test_sections_that_the_code_cites_exist() -> None:
    cited = set()
    for path in sorted((ROOT / "assistant").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Tuple) and len(node.elts) == 2:
                pair = [each.value for each in node.elts if isinstance(each, ast.Constant)]
                if len(pair) == 2 and pair[0] in GUIDES and str(pair[1])[:1].isupper():
                    cited.add((str(pair[0]), str(pair[1])))
    assert len(cited) >= 5, "the code cites guides in another way now: change this test"
    missing = [(n, h) for n, h in sorted(cited) if h not in {s.heading for s in GUIDES[n].sections}]
    assert missing == []


# -- topics ------------------------------------------------------------------------------------

TOPICS = """
choosing a model by use case | usecases choosing
best kind of model for instruction following | usecases
model for a personal assistant | usecases
model for stem homework | usecases
best model for writing stories | usecases
translation model | usecases languages
summarizing long documents | usecases
model for data analysis | usecases
rag over my documents | embeddings-and-rag usecases
what are the parameters of a model | basics
what is quantization | basics quantization
why do models hallucinate | basics
which llama models are there | llama
llama 2 license and sizes | llama licences
llama 3.3 70b | llama
which mistral models are there | mistral
mixtral 8x7b experts | mistral
falcon models | other-families
phi-4 models | phi
which gemma models are there | gemma
codegemma | code-models gemma
which qwen models are there | qwen
qwen coder models | qwen code-models
qwen math | qwen
qwen vl vision | qwen vision-models
deepseek r1 distill | deepseek shrinking
yi 34b context | other-families context
orca 2 | other-families
zephyr base model | other-families
stablelm licence | other-families licences
nous hermes | other-families
tinyllama | other-families
code llama infill | code-models llama
command r licence | other-families licences
embedding models compared | embedding-models
vision models that read images | vision-models
uncensored models | uncensored-and-domain
medical models warning | uncensored-and-domain
legal finance domain models | uncensored-and-domain
what is current in 2026 | current-models
how big is a 70b at q4 | quantization memory choosing llama
fp32 fp16 bf16 difference | quantization formats glossary
2-bit quantization quality | quantization
k-quants explained | quantization
what is an imatrix | quantization glossary
best quantization for coding | quantization-by-task quantization
gguf vs gptq vs awq | formats
onnx format | formats
pytorch bin files | formats
import a safetensors folder into ollama | formats modelfiles commands sources-and-names
best models without a gpu | cpu-only hardware-tiers current-models
best model for 8gb vram | hardware-tiers current-models
48 gb of vram | hardware-tiers current-models
apple silicon unified memory | apple
kv cache formula | context memory
trained context length of models | context
which languages does llama speak | languages llama
difference between apache and mit | licences
which models can i use commercially | licences
what does mmlu measure | benchmarks
humaneval problems | benchmarks
function calling support | function-calling
json schema structured output | function-calling
chatml template | prompt-templates
llama 3 prompt format | prompt-templates llama
how to chunk documents for rag | embeddings-and-rag
where to download models | sources-and-names
parts of a model file name | sources-and-names glossary
modelfile parameters | modelfiles
default context of ollama | context ollama-settings
flash attention setting | ollama-settings
kv cache type q8_0 | ollama-settings context memory
ollama num parallel | ollama-settings
keep alive | ollama-settings
several gpus in ollama | gpus ollama-settings
ollama commands list | commands
pin a model version digest | versions-and-registry sources-and-names
registry of my models | versions-and-registry
four phases of evaluation | evaluation
blue green deployment | migration
canary release | migration
cohorts of users | migration
a/b test significance | ab-testing
convert prompts from llama 2 to llama 3 | migration prompt-templates
cuda out of memory | troubleshooting-memory
why is my model so slow | speed troubleshooting-memory troubleshooting-quality
ollama uses the cpu instead of the gpu | troubleshooting-memory
prompt is truncated | troubleshooting-quality context troubleshooting-memory
garbage output | troubleshooting-quality
answers drift over time | troubleshooting-quality
retrieval finds the wrong passage | troubleshooting-quality embeddings-and-rag
model invents tool calls | troubleshooting-quality function-calling
what does moe mean | glossary basics
llama.cpp or ollama or vllm | runtimes
lm studio | runtimes
is my data private | privacy
does pruning or distillation shrink models | shrinking
open webui or continue with ollama | integrations
prompting a small model, tips | prompting
temperature for code | prompting modelfiles usecases code-models
tokens per second estimate | speed
hardware for a coding agent | hardware-tiers usecases
"""
ASKED_FOR = [
    pytest.param(query.strip(), frozenset(guides.split()), id=query.strip())
    for query, _, guides in (line.partition("|") for line in TOPICS.strip().splitlines())
]


@pytest.mark.parametrize(("query", "guides"), ASKED_FOR)
def test_each_topic_is_found(query: str, guides: frozenset[str]) -> None:
    assert guides <= set(GUIDES)
    found = search_guides(query, origin="bundled", dense="off").passages
    assert found[0].passage.name in guides, [f.passage.section for f in found]


def test_each_guide_is_asked_for() -> None:
    assert set(GUIDES) == {name for param in ASKED_FOR for name in param.values[1]}


# -- tables ------------------------------------------------------------------------------------


def run_build(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = (
        "import sys, pathlib, runpy; sys.argv = ['build_guides.py', *sys.argv[2:]];"
        "sys.path.insert(0, 'scripts'); import build_guides as b;"
        "b.GUIDES = pathlib.Path(ROOT) / 'knowledge'; b.ROOT = pathlib.Path(ROOT); b.main()"
    ).replace("ROOT)", f"{str(root)!r})")
    return subprocess.run(
        [sys.executable, "-c", code, "-", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def write_guide(root: Path, body: str) -> Path:
    path = root / "knowledge" / "guide.md"
    path.parent.mkdir(exist_ok=True)
    path.write_text(body, encoding="utf-8")
    return path


def test_tables_are_fresh() -> None:
    done = run_build(ROOT, "--check")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr


def test_a_stale_table_fails_the_check_and_is_written(tmp_path: Path) -> None:
    path = write_guide(tmp_path, "a\n\n<!-- table: licences -->\nold\n<!-- end table -->\nz\n")
    assert run_build(tmp_path, "--check").returncode == 1
    assert "old" in path.read_text(encoding="utf-8")
    assert run_build(tmp_path).returncode == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith("a\n\n<!-- table: licences -->\n| licence |")
    assert text.endswith("<!-- end table -->\nz\n")
    assert "As of " in text
    assert run_build(tmp_path, "--check").returncode == 0


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("<!-- table: no-such -->\n<!-- end table -->\n", "no table 'no-such'"),
        ("<!-- table: licences -->\n", "has no end"),
        ("<!-- table: licences -->\n<!-- table: languages -->\n<!-- end table -->\n", "no end"),
    ],
)
def test_broken_markers_are_errors(tmp_path: Path, body: str, message: str) -> None:
    write_guide(tmp_path, body)
    done = run_build(tmp_path)
    assert done.returncode == 1
    assert message in done.stderr


def test_tables_are_searched() -> None:
    texts = {s.heading: s.text for s in GUIDES["embedding-models"].sections}
    table = texts["Which embedding model to choose"]
    assert "| `bge-m3:567m` |" in table
    found = search_guides("granite-embedding 278m dims", origin="bundled", dense="off").passages
    assert any("granite-embedding:278m" in each.passage.searched for each in found)
