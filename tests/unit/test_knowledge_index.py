"""The vectors in chromadb: built once, reused, made again when stale or damaged, safe for two."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from assistant.errors import AssistantError
from assistant.knowledge import dense
from assistant.knowledge.embedder_choice import ChosenEmbedder
from assistant.knowledge.index import (
    IndexDamagedError,
    build_index,
    index_folder,
    open_index,
    read_record,
    remove_index,
)
from assistant.knowledge.passages import Passage, fingerprint, vector_id
from assistant.knowledge.search import search_guides
from assistant.knowledge.upkeep import build_indexes
from assistant.lock import writing
from tests.support.embedding_server import WordEmbedder, embedding, vector_of


def passages(*texts: str) -> tuple[Passage, ...]:
    return tuple(Passage(f"g#{n}", "Guide", f"S{n}", text) for n, text in enumerate(texts))


def build(
    shelf: tuple[Passage, ...], embedder: WordEmbedder | None = None, **more: object
) -> object:
    chosen = ChosenEmbedder("onnx", "", embedder or WordEmbedder())
    return build_index("bundled", shelf, fingerprint(shelf), chosen, **more)  # type: ignore[arg-type]


TEXTS = passages("walrus at sea", "penguin on ice", "a ship in the harbour")


def test_the_nearest_passage_is_first() -> None:
    index = open_index("bundled", build(TEXTS))  # type: ignore[arg-type]
    found = index.search(vector_of("penguin on the ice"), 2)
    assert found[0][0] == vector_id(TEXTS[1])
    assert 0.5 < found[0][1] <= 1.0
    assert len(found) == 2


def test_nothing_is_embedded_twice() -> None:
    embedder = WordEmbedder()
    build(TEXTS, embedder)
    build(TEXTS, embedder)
    assert embedder.embedded == 3
    more = (*TEXTS, Passage("x", "G", "S", "a seal"))
    build(more, embedder)
    assert embedder.embedded == 4
    index = open_index("bundled", read_record("bundled"))  # type: ignore[arg-type]
    assert index.search(vector_of("penguin on ice"), 1)[0][0] == vector_id(TEXTS[1])


def test_another_embedder_makes_another_index() -> None:
    build(TEXTS)
    other = WordEmbedder("other", 16)
    record = build(TEXTS, other)
    assert other.embedded == 3
    assert read_record("bundled") == record
    assert [p.name for p in index_folder().glob("bundled-*")] == [record.folder]  # type: ignore[attr-defined]


def test_no_passages_are_an_index_too() -> None:
    index = open_index("bundled", build(()))  # type: ignore[arg-type]
    assert index.search(vector_of("x"), 4) == []


def test_progress_counts_up_to_all() -> None:
    seen: list[tuple[int, int]] = []
    build(passages(*(f"t{n}" for n in range(70))), progress=lambda *at: seen.append(at))
    assert seen[0] == (0, 70)
    assert seen[-1] == (70, 70)
    assert seen == sorted(seen)


@pytest.mark.parametrize("stop", [KeyboardInterrupt, AssistantError("the server went away.")])
def test_an_interruption_leaves_what_was_there(stop: BaseException) -> None:
    record = build(TEXTS)

    def interrupt() -> None:
        raise stop

    with pytest.raises((KeyboardInterrupt, AssistantError)):
        build(passages("new"), WordEmbedder(before=interrupt))
    assert read_record("bundled") == record
    assert [p.name for p in index_folder().glob("bundled-*")] == [record.folder]  # type: ignore[attr-defined]
    open_index("bundled", record)  # type: ignore[arg-type]


def largest(folder: Path, pattern: str) -> Path:
    return max(folder.glob(pattern), key=lambda path: path.stat().st_size)


def middle(path: Path) -> None:
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 5)
        file.write(os.urandom(size // 2))


DAMAGE = {
    "database cut": lambda f: os.truncate(f / "chroma.sqlite3", 5000),
    "database empty": lambda f: os.truncate(f / "chroma.sqlite3", 0),
    "database garbage": lambda f: (f / "chroma.sqlite3").write_bytes(os.urandom(40_000)),
    "database overwritten": lambda f: middle(f / "chroma.sqlite3"),
    "database gone": lambda f: (f / "chroma.sqlite3").unlink(),
    "segment cut": lambda f: os.truncate(largest(f, "*/*"), 100),
    "segment gone": lambda f: shutil.rmtree(largest(f, "*/*").parent),
    "all gone": shutil.rmtree,
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damage_is_told_and_building_again_repairs_it(kind: str) -> None:
    record = build(TEXTS)
    DAMAGE[kind](index_folder() / record.folder)  # type: ignore[attr-defined]
    with pytest.raises(IndexDamagedError):
        open_index("bundled", record).search(vector_of("x"), 1)  # type: ignore[arg-type]
    embedder = WordEmbedder()
    again = build(TEXTS, embedder)
    assert embedder.embedded == 3
    assert open_index("bundled", again).search(vector_of("walrus"), 1)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"format": 99}', '{"format": 1, "folder": "../x"}']
)
def test_a_damaged_record_is_no_record(content: str) -> None:
    build(TEXTS)
    (index_folder() / "bundled.json").write_text(content)
    assert read_record("bundled") is None


def test_removing_leaves_nothing() -> None:
    build(TEXTS)
    remove_index("bundled")
    assert read_record("bundled") is None
    assert list(index_folder().glob("bundled-*")) == []


BUILDER = """
from assistant.knowledge.embedder_choice import ChosenEmbedder
from assistant.knowledge.index import build_index
from assistant.knowledge.passages import Passage, fingerprint
from tests.support.embedding_server import WordEmbedder
texts = tuple(Passage(f"g#{n}", "G", "S", f"text number{n}") for n in range(200))
embedder = WordEmbedder()
build_index("bundled", texts, fingerprint(texts), ChosenEmbedder("onnx", "", embedder))
print(embedder.embedded)
"""


@pytest.mark.slow
def test_two_processes_build_one_index() -> None:
    root = str(Path(__file__).parents[2])
    running = [
        subprocess.Popen(
            [sys.executable, "-c", BUILDER], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=root, env={**os.environ, "PYTHONPATH": root},
        )
        for _ in range(2)
    ]  # fmt: skip
    outputs = [process.communicate() for process in running]
    assert sorted(int(out) for out, _ in outputs) == [0, 200], outputs
    assert len(list(index_folder().glob("bundled-*"))) == 1


def test_the_lock_keeps_a_second_writer_waiting(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    order: list[str] = []

    def second() -> None:
        with writing(lock):
            order.append("second")

    with writing(lock):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(0.3)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from assistant.lock import writing\n"
        "with writing(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)"
    )
    lock = tmp_path / "lock"
    process = subprocess.Popen([sys.executable, "-c", program, str(lock)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"held"
    with pytest.raises(AssistantError), writing(lock, wait_s=0.1):
        pass
    process.kill()
    process.communicate()
    with writing(lock, wait_s=5):
        pass


def test_chromadb_does_not_read_the_settings_of_the_current_folder(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("IS_PERSISTENT=perhaps\nCHROMA_SERVER_HTTP_PORT=none\n")
    program = BUILDER + "\nimport os\nassert os.path.exists('.env')"
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env={**os.environ, "PYTHONPATH": root},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "200"


@pytest.fixture
def forget_opened() -> None:
    dense._indexes.clear()
    dense._embedders.clear()


@pytest.mark.usefixtures("forget_opened")
def test_a_search_uses_the_index_of_the_guides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    note = tmp_path / "n.md"
    note.write_text("walrus")
    with embedding(**{"nomic-embed-text": 270_000_000}) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        from assistant.knowledge.embedder_choice import find_embedder
        from assistant.knowledge.notes import add_notes

        assert search_guides("kv cache", dense="load").kind == "bm25"
        built = build_indexes(find_embedder())
        assert set(built) == {"bundled"}
        ready = search_guides("kv cache", dense="ready")
        assert (ready.kind, ready.note) == ("bm25", None)
        loaded = search_guides("kv cache", dense="load")
        assert (loaded.kind, loaded.embedder, loaded.outdated) == (
            "hybrid", "nomic-embed-text", False,
        )  # fmt: skip
        assert server.inputs[-1] == "search_query: kv cache"
        assert search_guides("kv cache", dense="ready").kind == "hybrid"
        add_notes(note)
        stale = search_guides("walrus", dense="load")
        assert stale.outdated
        assert stale.passages[0].passage.origin == "own"
        assert set(build_indexes(find_embedder())) == {"bundled", "own"}
        fresh = search_guides("walrus", dense="load")
        assert not fresh.outdated
        assert fresh.passages[0].dense_rank is not None
    gone = search_guides("kv cache", dense="load")
    assert gone.kind == "bm25"
    assert "no Ollama server answers" in (gone.note or "")
    assert gone.passages == search_guides("kv cache", dense="off").passages


@pytest.mark.usefixtures("forget_opened")
def test_a_damaged_index_leaves_words_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with embedding(**{"all-minilm": 46_000_000}) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.host)
        from assistant.knowledge.embedder_choice import find_embedder

        record = build_indexes(find_embedder())["bundled"]
        os.truncate(index_folder() / record.folder / "chroma.sqlite3", 5000)
        result = search_guides("kv cache", dense="load")
        assert (result.kind, result.outdated) == ("bm25", True)
        assert "damaged" in (result.note or "")
        build_indexes(find_embedder())
        assert search_guides("kv cache", dense="load").kind == "hybrid"


def test_a_reranker_decides_the_order() -> None:
    class Shortest:
        name = "shortest"

        def score(self, query: str, texts: list[str]) -> list[float]:
            return [-float(len(text)) for text in texts]

    found = search_guides("kv cache", limit=4, reranker=Shortest()).passages  # type: ignore[arg-type]
    lengths = [len(f.passage.embedded) for f in found]
    assert len(lengths) == 4
    assert lengths == sorted(lengths)
