"""The bundle for bug reports: what is planted everywhere must not come out anywhere."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assistant.cli.doctor_text import render_findings
from assistant.doctor.bundle import (
    Identity,
    Program,
    bundle,
    cleaner,
    contents,
    hidden_name,
    is_private,
    scrubber,
)
from assistant.doctor.bundle_file import check_free, this_identity, write_bundle
from assistant.doctor.diagnose import diagnose
from assistant.doctor.observe_system import kept_variables, proxies
from assistant.doctor.records import DiskSeen, EnvironmentSeen, Observations, ServerSeen
from assistant.errors import FileProblemError, UsageError
from assistant.machine.records import Disk, MeasuredRun, OllamaServer, Unavailable
from assistant.ollama.records import LoadedModel
from assistant.provision.drift import Upstream
from assistant.provision.ledger import with_entry
from assistant.provision.records import Expectation, Ledger, LedgerEntry, Pending, RoleTarget
from assistant.units import GB, GIB
from tests.support.doctor_scenes import computer, facts_of, gpu, installed, scene

PRIVATE = "models.acme-corp.example:5000/secret-team/merger-plan:7b"
OTHER = "models.acme-corp.example:5000/secret-team/takeover-bid:3b"
SECRETS = (
    "wilhelmina", "fortress-9", "acme-corp", "merger-plan", "secret-team", "203.0.113.77",
    "2001:db8::beef", "hunter2", "sk-live-abcdef123456", "hf_AbCdEfGhIjKlMnOpQr", "s3same",
    "wilhelmina@example.org", "0a:1b:2c:3d:4e:5f", "Z9y8X7w6V5u4T3s2R1q0PpOoNn", "jump.box.test",
    "bedtime story", "takeover-bid",
)  # fmt: skip
IDENTITY = Identity(
    ("/home/wilhelmina", "/mnt/homes/wilhelmina"), ("wilhelmina",), ("fortress-9", "fortress-9.lan")
)
PROGRAM = Program("1.2.3", "3.12.1", "Linux 6.8 x86_64")
NASTY = (
    "/home/wilhelmina/x failed on fortress-9 (203.0.113.77, [2001:db8::beef]:443) via "
    "http://wilhelmina:hunter2@jump.box.test:8080 token=s3same key sk-live-abcdef123456 "
    "hf_AbCdEfGhIjKlMnOpQr for wilhelmina@example.org 0a:1b:2c:3d:4e:5f "
    "Z9y8X7w6V5u4T3s2R1q0PpOoNn"
)
ENVIRON = {
    "OLLAMA_HOST": "jump.box.test:11434",
    "OLLAMA_MODELS": "/home/wilhelmina/models",
    "OLLAMA_KV_CACHE_TYPE": "q8_0",
    "OLLAMA_API_KEY": "sk-live-abcdef123456",
    "HTTPS_PROXY": "http://wilhelmina:hunter2@jump.box.test:8080",
    "HF_TOKEN": "hf_AbCdEfGhIjKlMnOpQr",
}


def planted() -> Observations:
    """Return observations with a secret in every text that there is."""
    machine = replace(
        computer(gpu()),
        disk=Disk("/mnt/homes/wilhelmina/.ollama/models", 200 * GB),
        ollama=OllamaServer("http://203.0.113.77:11434", True, "0.33.0", (PRIVATE,), (PRIVATE,)),
        unavailable=(Unavailable("memory speed", NASTY),),
        assumptions=(NASTY,),
        measured_runs=(MeasuredRun(PRIVATE, "Q4_K_M", 4096, "gpu", 10.0, "2026-11-20"),),
    )
    entry = LedgerEntry(
        alias="assistant-chat",
        model=PRIVATE,
        num_ctx=16384,
        modelfile='FROM x\nSYSTEM "Tell wilhelmina a bedtime story"',
        created_at="2026-11-20T10:00:00Z",
        role="chat",
        source="models.acme-corp.example:5000",
        parameters={"stop": "bedtime story"},
    )
    target = RoleTarget(
        "code", "assistant-code", OTHER, 8192, "FROM x", Expectation("gpu", 8192)
    )  # fmt: skip
    pending = Pending("2026-11-20T10:00:00Z", "m", (target,))
    model = replace(
        installed(PRIVATE, facts_of("qwen3:14b"), num_ctx=32768), why=NASTY, digest="ab" * 32
    )
    return scene(
        machine,
        [model, installed("wilhelmina/notes:latest", facts_of("qwen3:8b"))],
        [LoadedModel(PRIVATE, 14 * GIB, 9 * GIB, 32768)],
        environment=EnvironmentSeen(
            kept_variables(ENVIRON), kept_variables(ENVIRON), "service", NASTY,
            proxies(ENVIRON), proxies(ENVIRON),
        ),
        server=ServerSeen("http://fortress-9:11434", True, True, "0.33.0", NASTY, NASTY),
        ledger=replace(with_entry(Ledger(), entry), pending=pending),
        upstream={PRIVATE: Upstream(why="models.acme-corp.example:5000 cannot be reached")},
        disk=DiskSeen(
            "/mnt/homes/wilhelmina/.ollama/models", GB, True, False, True, False,
            "/home/wilhelmina/.local/share/assistant", False,
        ),
        asked=PRIVATE,
        gaps=(Unavailable(NASTY, NASTY),),
    )  # fmt: skip


def leaks(text: str) -> list[str]:
    """Return the secrets in a text, whatever their case."""
    return [secret for secret in SECRETS if secret.lower() in text.lower()]


def test_no_secret_comes_out_of_a_bundle(tmp_path: Path) -> None:
    seen = planted()
    findings = diagnose(seen)
    assert leaks(str(findings)), "the scene must have secrets to lose"
    made = bundle(seen, findings, program=PROGRAM, identity=IDENTITY)
    assert leaks(json.dumps(made)) == []
    text = cleaner(seen, IDENTITY)(render_findings(findings))
    assert leaks(text) == []
    path = tmp_path / "report.zip"
    write_bundle(path, made, text)
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            assert leaks(archive.read(name).decode()) == []


def test_what_is_needed_to_help_stays_in() -> None:
    seen = planted()
    made = bundle(seen, diagnose(seen), program=PROGRAM, identity=IDENTITY)
    observed = made["observed"]
    assert observed["environment"]["variables"]["OLLAMA_KV_CACHE_TYPE"] == "q8_0"
    assert observed["environment"]["proxy"]["https"] is True
    assert observed["machine"]["accelerators"][0]["name"] == "NVIDIA GeForce RTX 3060"
    assert observed["machine"]["accelerators"][0]["driver"] == "580.65.06"
    assert observed["loaded"][0]["vram_bytes"] == 9 * GIB
    assert observed["loaded"][0]["name"] == hidden_name(PRIVATE)
    assert observed["models"][0]["digest"] == "ab" * 32
    assert observed["disk"]["models_path"] == "~/.ollama/models"
    assert made["program"] == {"version": "1.2.3", "python": "3.12.1", "system": PROGRAM.system}
    assert {found["id"] for found in made["findings"]} >= {"on-cpu", "disk-full"}
    said = " ".join(contents(made))
    assert "2 models" in said
    assert "nothing of: prompts" in said


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:11434",
        "http://[::1]:11434 and 0.0.0.0:11434 and [::]:80",
        "driver 580.65.06, Windows driver 32.0.15.6094, CUDA 8.6, gfx1151",
        "qwen3-30b-a3b-instruct-2507-q4_K_M with 32,768 tokens at 31.4 tokens/s",
        "sha256:" + "0123456789abcdef" * 4,
        "sha256-" + "0123456789abcdef" * 4 + "-partial",
        "hf.co/bartowski/Qwen2.5-Coder-14B-Instruct-GGUF:Q4_K_M",
        "begun at 2026-11-27 21:04:31, bus 0000:01:00.0",
        "https://ollama.com/download",
        "AMD Ryzen Threadripper PRO 7995WX, NVIDIA RTX PRO 6000 Blackwell",
    ],
)
def test_what_is_nobodys_secret_is_left_as_it_is(text: str) -> None:
    assert scrubber(IDENTITY)(text) == text


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("/home/somebody-else/x", "~/x"),
        (r"C:\Users\Anna\models", r"~\models"),
        ("/Users/anna/models", "~/models"),
        ("http://tower:11434/x", "http://<host>:11434/x"),
        ("http://192.168.1.7:11434", "http://<address>:11434"),
        ("fe80::1%eth0 and 10.0.0.5", "<address> and <address>"),
        ("wilhelmina-notes, wilhelminas", "<user>-notes, wilhelminas"),
        ("Authorization: Bearer", "Authorization: <secret>"),
    ],
)
def test_what_names_somebody_is_replaced(text: str, clean: str) -> None:
    assert scrubber(IDENTITY)(text) == clean


def test_system_users_are_nobody() -> None:
    identity = Identity(("/srv/ollama",), ("root", "ollama"), ("localhost",))
    text = "chown ollama:ollama by root on localhost"
    assert scrubber(identity)(text) == text


def test_private_names_are_one_hash_wherever_they_stand() -> None:
    assert is_private(PRIVATE)
    assert is_private("localhost:5000/library/x:1b")
    assert not any(map(is_private, ("qwen3:8b", "me/mine", "hf.co/a/b:Q4_K_M", "ollama.com/a/b")))
    clean = scrubber(Identity(), [PRIVATE])
    assert clean(f"{PRIVATE} and {PRIVATE.upper()}") == " and ".join([hidden_name(PRIVATE)] * 2)
    assert hidden_name(PRIVATE) == hidden_name(PRIVATE.replace("models.acme-corp.example", "other"))


@given(
    st.text(st.characters(codec="ascii", categories=("Ll", "Lu")), min_size=7, max_size=12),
    st.sampled_from(["/home/{}/x", "by {}.", "{}@h.example", "http://{}:pw@h/", "[{}]", "a {} b"]),
)
def test_a_user_name_never_stays(user: str, place: str) -> None:
    identity = Identity((f"/home/{user}",), (user,), ())
    shown = scrubber(identity)(place.format(user))
    without = place.format("")
    assert user.lower() not in shown.lower() or user.lower() in f"{without}<user><host><email>"


def test_who_this_is() -> None:
    environ = {"HOME": "/home/wilhelmina", "USER": "wilhelmina", "HOSTNAME": "fortress-9.lan"}
    identity = this_identity(environ, url="http://tower.lan:11434")
    assert "/home/wilhelmina" in identity.homes
    assert "wilhelmina" in identity.users
    assert {"fortress-9.lan", "fortress-9", "tower.lan"} <= set(identity.hosts)


def test_a_bundle_overwrites_nothing(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_bundle(path, {"schema": 1}, "text")
    assert json.loads(path.read_text()) == {"schema": 1}
    assert path.stat().st_mode & 0o077 == 0
    with pytest.raises(UsageError, match="is there already"):
        write_bundle(path, {"schema": 2}, "text")
    assert json.loads(path.read_text()) == {"schema": 1}
    dangling = tmp_path / "link.zip"
    dangling.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="is there already"):
        check_free(dangling)


def test_a_bundle_ends_as_bundles_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"must end in \.zip or \.json"):
        check_free(tmp_path / "report.txt")
    with pytest.raises(FileProblemError, match="cannot be written"):
        write_bundle(tmp_path / "no/such/folder.zip", {}, "")
