"""What can go wrong in a conversation, and what to say when an answer did not come.

AssistantError
├─ TooLongError        a message that no part of which can be left out; `tokens`, `room`
├─ NothingSaidError    there is no question to ask again, edit or take back
├─ CloudModelError     the model runs on somebody else's computer
├─ CannotChatError     an embedding model, or another that does not write
├─ NoChatModelError    nothing installed can chat
├─ GuidesError         the guides and tools failed at a question
└─ FileProblemError
   ├─ AttachmentError     a file that cannot go with a message
   └─ FileTooLargeError   it does not fit into the context; `tokens`, `room`

Errors of the server stay what they are (`assistant.ollama.chat_errors`); `explained` gives them
a hint that fits a conversation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from assistant.errors import AssistantError, FileProblemError, OllamaError, UsageError

if TYPE_CHECKING:
    from assistant.chat.records import Attachment


class TooLongError(UsageError):
    """The last message and the system prompt alone are more than the context holds.

    `tokens` is what they take, `room` what the context leaves beside the answer; `exact` says
    that the server counted.
    """

    code = "message_too_long"

    def __init__(self, *, tokens: int, room: int, exact: bool = False) -> None:
        about = "" if exact else "about "
        super().__init__(
            f"the message takes {about}{tokens:,} tokens with its system prompt, and the context "
            f"has room for {room:,}.",
            hint="Send it in parts, or use a model with a longer context (assistant tune MODEL).",
        )
        self.tokens = tokens
        self.room = room
        self.exact = exact


class NothingSaidError(UsageError):
    """There is no question to ask again, edit or take back."""

    code = "nothing_said"


class CloudModelError(UsageError):
    """The model runs in a cloud, where the conversation would be sent."""

    code = "cloud_model"

    def __init__(self, model: str, host: str | None = None) -> None:
        where = f"at {host}" if host else "on its maker's servers"
        super().__init__(
            f"the model {model!r} runs {where}, not on your own computer.",
            hint="Choose a local model, or allow it with --allow-cloud: "
            "the conversation then leaves this machine.",
        )


class CannotChatError(UsageError):
    """The model is for embeddings, or writes no text for another reason."""

    code = "cannot_chat"

    def __init__(self, model: str, *, embeds: bool) -> None:
        what = "only makes embeddings" if embeds else "writes no text"
        super().__init__(
            f"the model {model!r} {what} and cannot chat.",
            hint="Choose a chat model: assistant recommend --role chat",
        )


class NoChatModelError(AssistantError):
    """The server has no model that can chat."""

    code = "no_chat_model"

    def __init__(self, server: str, *, clouds: int = 0) -> None:
        besides = f" ({clouds} of its models run in a cloud)" if clouds else ""
        super().__init__(
            f"no model on the Ollama server at {server} can chat{besides}.",
            hint="Set one up that fits this machine: assistant setup",
        )


class GuidesError(AssistantError):
    """The guides and tools failed at a question in a way that nobody expected."""

    code = "guides_failed"

    def __init__(self, cause: Exception) -> None:
        super().__init__(
            f"the guides could not answer this question ({type(cause).__name__}: {cause}).",
            hint="Put it in other words, or ask the model itself. The conversation goes on.",
        )


class AttachmentError(FileProblemError):
    """The file cannot go with a message: binary, empty, or a picture for a model that is blind."""

    code = "attachment"


class FileTooLargeError(AttachmentError):
    """The file does not fit into the context; it can be split (`attachments.split_attachment`).

    `tokens` is about what it takes, `room` what there is for it. `attachment` is the file as it
    was read, None where it was too large even for that.
    """

    code = "file_too_large"

    def __init__(
        self, name: str, *, tokens: int, room: int, attachment: Attachment | None = None
    ) -> None:
        super().__init__(
            f"{name!r} takes about {tokens:,} tokens, and there is room for {room:,}.",
            hint=f"Split it into {-(-tokens // max(1, room))} parts, or send a smaller piece of it."
            if attachment is not None
            else "Send a smaller piece of it.",
        )
        self.tokens = tokens
        self.room = room
        self.attachment = attachment


_HINTS: Final = {
    "ollama_unreachable": "Start the server with: ollama serve",
    "server_busy": "Other requests are waiting there.",
    "stream_broken": "The server loads the model again by itself.",
    "too_slow": "Loading or a long prompt can take minutes on a CPU; "
    "assistant doctor says what is slow.",
    "out_of_memory": "See what fits: assistant doctor",
    "load_failed": "See why: assistant doctor",
    "not_ollama": "",
}
_KEPT: Final = "What came is kept; /retry asks again."
_ASKED: Final = "Your question is kept; /retry asks it again."


def explained(error: OllamaError, *, kept: bool, is_local: bool = True) -> OllamaError:
    """Return the error with a hint for somebody in a conversation.

    `kept` says that a part of the answer came and was stored; otherwise the question was.
    `is_local` is False for a server elsewhere, which cannot be started from here.
    """
    hint = _HINTS.get(error.code, error.hint or "")
    if error.code == "ollama_unreachable" and not is_local:
        hint = error.hint or ""
    error.hint = " ".join(filter(None, (_KEPT if kept else _ASKED, hint)))
    return error
