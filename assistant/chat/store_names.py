"""Names that people give to conversations. Pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from assistant.chat.store_errors import SessionNameError

NAME_LENGTH: Final = 80


def checked_name(name: str) -> str:
    """Return the name as it is kept: one line, single spaces.

    Raises:
        SessionNameError: it is empty, too long, or holds what cannot be shown.
    """
    kept = unicodedata.normalize("NFC", " ".join(name.split()))
    why = None
    if not kept:
        why = "a conversation's name cannot be empty."
    elif len(kept) > NAME_LENGTH:
        why = f"a name of {len(kept)} characters is too long for a conversation."
    elif not kept.isprintable():
        why = f"the name {kept!r} holds characters that cannot be shown."
    if why is not None:
        raise SessionNameError(
            why, hint=f"Give it up to {NAME_LENGTH} letters, digits, spaces or signs."
        )
    return kept


def name_key(name: str) -> str:
    """Return what two names share that a person would take for the same."""
    return unicodedata.normalize("NFKC", " ".join(name.split())).casefold()


def near_names(text: str, names: Sequence[str]) -> str:
    """Return a hint for a name that is not there: the nearest ones, or where to look."""
    keys = {name_key(name): name for name in names}
    near = [keys[key] for key in get_close_matches(name_key(text), list(keys), n=3)]
    if near:
        return f"Did you mean {' or '.join(repr(name) for name in near)}?"
    if names:
        return "See what is kept with /sessions."
    return "No conversation has a name yet; /save NAME gives one."
