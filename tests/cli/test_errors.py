"""Exit codes, and errors as text and as JSON."""

from __future__ import annotations

import importlib
import os
import pkgutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import assistant
from assistant.cli import main as cli_main
from assistant.cli.options import output_options
from assistant.cli.output import Output
from assistant.errors import AssistantError, NoFitError, UnknownModelError
from tests.running import CommandResult

RunCli = Callable[..., CommandResult]

# The whole tree; a new error must be added here, with the exit code people will rely on.
EXIT_CODES = {
    "AliasDriftError": 1,
    "AssistantError": 1,
    "AttachmentError": 1,
    "CannotCallToolsError": 3,
    "CannotChatError": 2,
    "CannotRollBackError": 1,
    "CannotThinkError": 3,
    "CatalogError": 1,
    "ChatError": 3,
    "CloudModelError": 2,
    "CreateRefusedError": 3,
    "DamagedDownloadError": 3,
    "DiskFullError": 3,
    "DiskTooSmallError": 1,
    "EmbedderUnavailableError": 1,
    "EmptyReplyError": 3,
    "FileProblemError": 1,
    "FileTooLargeError": 1,
    "GgufError": 1,
    "GuidesError": 1,
    "IndexDamagedError": 1,
    "InterruptedByUserError": 130,
    "LedgerDamagedError": 1,
    "LoadFailedError": 3,
    "MachineSpecError": 2,
    "MissingArgumentError": 2,
    "ModelMissingError": 3,
    "ModelNameError": 2,
    "ModelfileError": 1,
    "NameTakenError": 2,
    "NoChatModelError": 1,
    "NoFitError": 4,
    "NotAConversationError": 1,
    "NotInRegistryError": 3,
    "NotOllamaError": 3,
    "NotesDamagedError": 1,
    "NothingSaidError": 2,
    "OfflineError": 1,
    "OllamaError": 3,
    "OutOfMemoryError": 3,
    "PartlyDoneError": 5,
    "PromptTooLongError": 3,
    "PullInterruptedError": 3,
    "RegistryError": 1,
    "RegistryUnreachableError": 3,
    "RequestRefusedError": 3,
    "ServerBusyError": 3,
    "ServerNotStartedError": 3,
    "ServerTooOldError": 3,
    "ServerUnreachableError": 3,
    "SessionExistsError": 2,
    "SessionNameError": 2,
    "StatusError": 1,
    "StoreBusyError": 1,
    "StoreDamagedError": 1,
    "StoreError": 1,
    "StoreNewerError": 1,
    "StreamBrokenError": 3,
    "TooLongError": 2,
    "TooSlowError": 3,
    "ToolRefusedError": 1,
    "UnknownCommandError": 2,
    "UnknownModelError": 2,
    "UnknownSessionError": 2,
    "UnreachableError": 1,
    "UsageError": 2,
}


def everything_imported() -> None:
    for module in pkgutil.walk_packages(assistant.__path__, "assistant."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


def subclasses(of: type[AssistantError]) -> Iterator[type[AssistantError]]:
    yield of
    for each in of.__subclasses__():
        yield from subclasses(each)


def test_every_error_has_the_exit_code_people_rely_on() -> None:
    everything_imported()
    found = {
        error.__name__: error.exit_code
        for error in subclasses(AssistantError)
        if error.__module__.startswith("assistant.")
    }
    assert found == EXIT_CODES
    assert set(found.values()) == {1, 2, 3, 4, 5, 130}


def test_every_error_code_is_one_error() -> None:
    everything_imported()
    errors = [e for e in subclasses(AssistantError) if e.__module__.startswith("assistant.")]
    codes = [error.code for error in errors if "code" in vars(error)]
    assert len(codes) == len(set(codes))


@pytest.fixture
def a_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Output], object]], None]:
    """Register a command `probe` that runs the given function."""

    def register(body: Callable[[Output], object]) -> None:
        @click.command("probe")
        @output_options
        def probe(out: Output) -> None:
            body(out)

        monkeypatch.setitem(cli_main.cli.commands, "probe", probe)

    return register


def failing(error: BaseException) -> Callable[[Output], object]:
    def body(_out: Output) -> None:
        raise error

    return body


def test_an_error_is_a_sentence_and_what_to_do(run_cli: RunCli, a_command: Any) -> None:
    a_command(failing(UnknownModelError("there is no model 'x'.", hint="Did you mean y?")))
    result = run_cli("probe")
    assert result == CommandResult(2, "", "Error: there is no model 'x'.\nDid you mean y?\n")


def test_an_error_in_json_is_an_envelope(run_cli: RunCli, a_command: Any) -> None:
    a_command(failing(UnknownModelError("there is no model 'x'.", hint="Did you mean y?")))
    result = run_cli("probe", "--json")
    assert result.exit_code == 2
    assert result.stderr == ""
    assert result.json == {
        "schema": 1,
        "command": "probe",
        "status": "error",
        "data": {},
        "errors": [
            {
                "code": "unknown_model",
                "message": "there is no model 'x'.",
                "hint": "Did you mean y?",
            }
        ],
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense", "--json"],
        ["--json"],
        ["hardware", "--json", "--no-such-option"],
        ["hardware", "--json", "extra"],
        ["hardware", "--json", "--machine"],
        ["completion", "--json", "tcsh"],
    ],
)
def test_usage_errors_in_json_are_envelopes_too(run_cli: RunCli, arguments: list[str]) -> None:
    result = run_cli(*arguments)
    assert result.exit_code == 2
    assert result.json["status"] == "error"
    assert result.json["errors"][0]["code"] == "usage"
    assert result.json["errors"][0]["message"]
    assert result.json["command"] in {"", arguments[0]}


def test_a_usage_error_names_the_help_to_ask_for(run_cli: RunCli) -> None:
    result = run_cli("hardware", "--no-such-option")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("Error: no such option '--no-such-option'")
    assert result.stderr.endswith("See: assistant hardware --help\n")


def test_after_two_dashes_json_is_an_argument(run_cli: RunCli) -> None:
    result = run_cli("hardware", "--", "--json")
    assert result.stdout == ""
    assert result.stderr.startswith("Error:")


def test_the_unexpected_is_one_sentence_and_a_hint(run_cli: RunCli, a_command: Any) -> None:
    a_command(failing(ZeroDivisionError("division by zero")))
    result = run_cli("probe")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "Error: something unexpected went wrong (ZeroDivisionError: division by zero).",
        "This is a defect of the program. Run with --debug to see where it happened.",
    ]


@pytest.mark.parametrize("arguments", [["--debug", "probe"], ["probe", "--debug"]])
def test_debug_shows_the_traceback(run_cli: RunCli, a_command: Any, arguments: list[str]) -> None:
    a_command(failing(ZeroDivisionError("division by zero")))
    result = run_cli(*arguments)
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert "ZeroDivisionError: division by zero" in result.stderr


def test_the_environment_can_ask_for_the_traceback(
    run_cli: RunCli, a_command: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASSISTANT_DEBUG", "1")
    a_command(failing(NoFitError("nothing fits.")))
    result = run_cli("probe")
    assert result.exit_code == 4
    assert "Traceback" in result.stderr
    assert "Error: nothing fits." in result.stderr


def test_interrupted_is_130(run_cli: RunCli, a_command: Any) -> None:
    a_command(failing(KeyboardInterrupt()))
    result = run_cli("probe")
    assert result.exit_code == 130
    assert result.stderr.strip() == "Stopped."
    assert run_cli("probe", "--json").json["errors"][0]["code"] == "interrupted"


def test_ctrl_c_ends_a_real_process_with_130(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import time, click\n"
        "from assistant.cli import main\n"
        "@click.command('probe')\n"
        "def probe():\n"
        "    print('ready', flush=True)\n"
        "    time.sleep(30)\n"
        "main.cli.add_command(probe)\n"
        "main.main()\n"
    )
    with subprocess.Popen(
        [sys.executable, str(program), "probe"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in stderr


def test_partly_done_has_its_data_and_code_5(run_cli: RunCli, a_command: Any) -> None:
    def body(out: Output) -> None:
        out.result({"done": [1]}, "one done", errors=[UnknownModelError("no model 'x'.")])

    a_command(body)
    result = run_cli("probe")
    assert result == CommandResult(5, "one done\n", "Error: no model 'x'.\n")
    envelope = run_cli("probe", "--json")
    assert envelope.exit_code == 5
    assert envelope.json["status"] == "partial"
    assert envelope.json["data"] == {"done": [1]}
    assert [e["code"] for e in envelope.json["errors"]] == ["unknown_model"]


def test_nothing_fits_can_carry_what_was_tried(run_cli: RunCli, a_command: Any) -> None:
    def body(out: Output) -> None:
        error = NoFitError("nothing fits.", hint="Try a smaller model.")
        out.result({"tried": 3}, "tried three", errors=[error], status="error")

    a_command(body)
    result = run_cli("probe", "--json")
    assert result.exit_code == 4
    assert (result.json["status"], result.json["data"]) == ("error", {"tried": 3})


def test_only_what_is_shown_is_computed(run_cli: RunCli, a_command: Any) -> None:
    def never() -> Any:
        raise AssertionError("computed for nothing")

    a_command(lambda out: out.result({}, never))
    assert run_cli("probe", "--json").exit_code == 0
    a_command(lambda out: out.result(never, "text"))
    assert run_cli("probe").stdout == "text\n"


def test_with_json_nothing_else_is_on_stdout(run_cli: RunCli, a_command: Any) -> None:
    def body(out: Output) -> None:
        out.print("text")
        out.note("a note")
        out.warning("careful")
        out.result({}, "text")

    a_command(body)
    result = run_cli("probe", "--json")
    assert result.json["status"] == "ok"
    assert result.stderr == "Warning: careful\n"
    assert run_cli("probe").stderr == "a note\nWarning: careful\n"


def test_a_reader_that_goes_away_ends_us_quietly(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import click\n"
        "from assistant.cli import main, output\n"
        "@click.command('probe')\n"
        "def probe():\n"
        "    out = output.Output('probe')\n"
        "    for _ in range(100000):\n"
        "        out.print('x' * 100)\n"
        "main.cli.add_command(probe)\n"
        "main.main()\n"
    )
    read, write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, str(program), "probe"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    os.read(read, 10)
    os.close(read)
    _, stderr = process.communicate(timeout=20)
    assert (process.returncode, stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_one_sentence() -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "assistant", "hardware", "--machine", "8GB VRAM"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "Error: the output cannot be written: no space left on device.\n"


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_defect(closed: str) -> None:
    command = f'"{sys.executable}" -m assistant hardware --machine "8GB VRAM" {closed}'
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert done.stderr == ""


def test_arguments_that_are_no_text_are_no_defect() -> None:
    done = subprocess.run(
        [sys.executable.encode(), b"-m", b"assistant", b"hardware", b"--machine", b"\xff\xfe"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("Error: ")


def test_no_command_shows_the_help(run_cli: RunCli) -> None:
    result = run_cli()
    assert result.exit_code == 0
    assert result.stdout == run_cli("--help").stdout
    assert result.stdout.startswith("Usage: assistant")


def test_the_version_is_said(run_cli: RunCli) -> None:
    assert run_cli("--version").stdout == f"assistant {assistant.__version__}\n"
