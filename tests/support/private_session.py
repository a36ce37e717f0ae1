"""A whole chat in a network namespace that has loopback and nothing else, every call recorded.

    unshare --map-root-user --net python -m tests.support.private_session HOME LOG [--no-save]

The test server runs in the namespace; the chat runs under strace, which writes every socket
that is connected and every file that is opened, made, renamed or removed to LOG.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import sys
from pathlib import Path

from tests.support.fake_ollama import OllamaServer, Say, Script, library_model
from tests.support.terminal import Terminal

CALLS = (
    "connect,sendto,sendmsg,bind,open,openat,creat,rename,renameat,renameat2,unlink,unlinkat,"
    "mkdir,mkdirat,link,linkat,symlink,symlinkat,truncate"
)
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _UP = 0x8913, 0x8914, 0x1
_PROGRAM = """
import os, sys
from assistant.cli.main import main
main()
"""


def why_impossible() -> str | None:
    """Return what this machine lacks for it, or None."""
    missing = [name for name in ("unshare", "strace") if shutil.which(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    if os.spawnlp(os.P_WAIT, "unshare", "unshare", "--map-root-user", "--net", "true") != 0:
        return "this system allows no network namespace"
    return None


def bring_up_loopback() -> None:
    """Switch the loopback interface of this namespace on."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sH14s", b"lo", 0, b"")
        flags = struct.unpack("16sH14s", fcntl.ioctl(sock, _SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14s", b"lo", flags | _UP, b""))


def talk(home: Path, log: Path, *, save: bool) -> None:
    """Have a conversation that uses what there is: files, guides, search, export, forget."""
    model = library_model("qwen3.5:4b")
    answers = Script([Say("Hello. What may I do for you?"), Say("It says that tea is at four.")])
    notes = home / "notes.txt"
    notes.write_text("Tea is at four.\n", encoding="utf-8")
    with OllamaServer(library=[model], installed=["qwen3.5:4b"]) as server:
        server.answer_with("qwen3.5:4b", answers)
        environ = {
            "OLLAMA_HOST": server.host,
            "ASSISTANT_HOME": str(home / "assistant"),
            "HOME": str(home),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NO_COLOR": "1",
        }
        strace = ["strace", "-f", "-qq", "-s", "400", "-e", f"trace={CALLS}", "-o", str(log)]
        command = [*strace, sys.executable, "-c", _PROGRAM]
        program = f"import os, sys; os.execvp('strace', {command!r} + sys.argv[1:])"
        arguments = ["chat"] if save else ["chat", "--no-save"]
        with Terminal(arguments, env=environ, cwd=str(home), program=program) as terminal:
            terminal.settle(1.0, timeout_s=60)
            for line, wanted in (
                ("Good morning", "What may I do"),
                (f"/file {notes}", "notes.txt"),
                ("What does it say?", "tea is at four"),
                ("/guides what is a KV cache?", "KV cache"),
                ("what model are you?", "qwen3.5:4b"),
                ("/search morning", "orning"),
                (f"/export md {home / 'talk.md'}", "talk.md"),
                ("/stats", "tokens"),
            ):
                terminal.type(f"{line}\r")
                terminal.wait_for(wanted, timeout_s=60)
                terminal.settle(0.5, timeout_s=60)
            terminal.type("/exit\r")
            terminal.wait_exit(timeout_s=60)
    sys.stdout.write(f"{server.port}\n")


if __name__ == "__main__":
    bring_up_loopback()
    talk(Path(sys.argv[1]), Path(sys.argv[2]), save="--no-save" not in sys.argv[3:])
