"""Which of the amounts in a description belongs to which card, and which is the RAM.

An amount beside a card is the card's (`RTX 3060 12GB`, `12gb 3060`); one that is called VRAM
or RAM is that; a bare one is the card's when the card is sold with it, else RAM. Without any
card a bare amount is VRAM, unless the words speak of a computer (`8GB laptop`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from assistant.errors import MachineSpecError
from assistant.machine.devices import laptop_versions, variants
from assistant.units import GIB

if TYPE_CHECKING:
    from assistant.machine.amounts import Amount
    from assistant.machine.words import Card, Words

#: More than this is a slip of the keys: the largest servers have 32 TiB of RAM, the largest
#: GPU nodes one can rent about 2.3 TB of VRAM.
_MOST_RAM: Final = 64 * 1024 * GIB
_MOST_VRAM: Final = 16 * 1024 * GIB
_LEAST: Final = GIB // 4
_MOST_CARDS: Final = 128
#: A bare figure this many times a card's own memory is the computer's RAM ("RTX 3060 32GB").
_RAM_RATIO: Final = 2.5
#: Bare figures that no usual graphics card has and that many computers have as RAM.
_RAM_SIZES: Final = tuple(size * GIB for size in (64, 128, 256, 512))
_RAM_ROLES: Final = ("ram", "computer", "unified")


@dataclass(slots=True)
class Draft:
    """A description while it is put together: whose each amount is, and what was assumed.

    `generic` are amounts of VRAM for which no card was named.
    """

    words: Words
    cards: list[Card]
    notes: list[str] = field(default_factory=list)
    free_notes: list[str] = field(default_factory=list)
    generic: list[Amount] = field(default_factory=list)
    generic_free: Amount | None = None
    ram: Amount | None = None
    ram_free: Amount | None = None

    @property
    def shares_memory(self) -> bool:
        """Say whether a chip that shares the computer's memory was named."""
        return any(card.devices[0].kind != "discrete" for card in self.cards)


def assign_amounts(words: Words) -> Draft:
    """Return the cards of the description with their memory, and the RAM.

    Raises:
        MachineSpecError: an amount or a number of cards is absurd, or RAM is given twice.
    """
    draft = Draft(words, [card for card in words.cards if not card.alternative])
    named = [int(figure.value) for figure in words.figures if figure.kind == "cards"]
    if named and len(draft.cards) == 1 and not draft.cards[0].counted:
        draft.cards[0].count = named[0]
    for card in draft.cards:
        check_count(card.count, f"{card.count} x {card.text}")
        if words.has("laptop"):
            _prefer_laptop(card, draft)
    wanted = [amount for amount in words.amounts if _concerns(amount, draft)]
    for amount in wanted:
        _check_amount(amount)
    for amount in sorted(wanted, key=lambda a: a.role is None and not a.free):
        _assign(amount, draft)
    if draft.generic_free is not None and not draft.generic:
        draft.notes.append("The card: its whole memory was not stated, only what is free")
        draft.generic.append(draft.generic_free)
    return draft


def _concerns(amount: Amount, draft: Draft) -> bool:
    """Say whether an amount is memory of this computer, not a disk or another card's."""
    if amount.role in ("disk", "other"):
        return False
    text = draft.words.text
    others = [card for card in draft.words.cards if card.alternative]
    return _beside_card(amount, draft) is not None or not any(
        _beside(amount, card, text) for card in others
    )


def check_count(count: int, text: str) -> None:
    """Raise MachineSpecError, naming `text`, unless `count` cards can be in one computer."""
    if not 1 <= count <= _MOST_CARDS:
        raise MachineSpecError(
            f"{text!r} is no number of cards a computer can have.",
            hint="Write for example: 2x RTX 3090, 64GB RAM",
        )


def _check_amount(amount: Amount) -> None:
    most = _MOST_RAM if amount.role in _RAM_ROLES else _MOST_VRAM
    if amount.size_bytes < _LEAST or amount.size_bytes * max(1, amount.count) > most:
        raise MachineSpecError(
            f"{amount.text!r} is no amount of memory a computer can have.",
            hint="Write for example: RTX 3060 12GB, 32GB RAM",
        )
    check_count(amount.count, amount.text)


def _prefer_laptop(card: Card, draft: Draft) -> None:
    found = laptop_versions(card.devices[:1])
    if found and found != card.devices:
        card.devices = found
        draft.notes.append(f"{found[0].name}: the laptop version of the card")


def _assign(amount: Amount, draft: Draft) -> None:
    if amount.free:
        _assign_free(amount, draft)
    elif amount.role in _RAM_ROLES or (
        amount.role is None and draft.shares_memory and _beside_card(amount, draft) is None
    ):
        _set_ram(amount, draft)
    else:
        _assign_vram(amount, draft)


def _assign_free(amount: Amount, draft: Draft) -> None:
    before = [card for card in draft.cards if card.end <= amount.start] or draft.cards
    rams = [a for a in draft.words.amounts if a.role in _RAM_ROLES and a.end <= amount.start]
    ram_is_nearer = bool(rams) and (not before or rams[-1].start > before[-1].start)
    if amount.role in _RAM_ROLES or (amount.role is None and ram_is_nearer):
        draft.ram_free = amount
    elif before:
        before[-1].free = amount
    else:
        draft.generic_free = amount


def _assign_vram(amount: Amount, draft: Draft) -> None:
    card = _beside_card(amount, draft)
    if card is None and (amount.role == "vram" or _is_a_version(amount, draft)):
        open_cards = [c for c in draft.cards if c.amount is None and c.devices[0].kind != "cpu"]
        open_cards.sort(key=lambda c: c.devices[0].kind != "discrete")
        card = open_cards[0] if open_cards else None
    if card is not None and (amount.role is None or _is_chip_memory(card, amount, draft)):
        shares = card.devices[0].kind != "discrete"
        if shares or _is_too_much(card, amount):
            if not shares:
                draft.notes.append(f"{amount.text}: read as RAM, not as memory of the card")
            _set_ram(amount, draft)
            return
    if card is not None:
        card.amount = amount
        card.count = max(card.count, amount.count)
    elif amount.role == "vram" or amount.count > 1:
        draft.generic.append(amount)
    elif draft.cards or (draft.ram is None and (draft.generic or _is_ram_sized(amount, draft))):
        _set_ram(amount, draft)
    else:
        draft.notes.append(f"{amount.text}: read as video memory (VRAM), not RAM")
        draft.generic.append(amount)


def _is_chip_memory(card: Card, amount: Amount, draft: Draft) -> bool:
    """Say whether `GPU 64GB` beside a chip is the memory it is sold with, not a share of it."""
    sold = any(amount.size_bytes in device.memory_options_bytes for device in card.devices)
    shares = card.devices[0].kind != "discrete"
    return shares and sold and draft.ram is None and "vram" not in draft.words.text


def _is_ram_sized(amount: Amount, draft: Draft) -> bool:
    words = draft.words
    if words.has("cpu_only", "laptop", "mac", "intel_mac", "integrated", "computer") or words.cpus:
        return True
    if amount.size_bytes in _RAM_SIZES:
        draft.notes.append(f"{amount.text}: read as RAM")
        return True
    return False


def _set_ram(amount: Amount, draft: Draft) -> None:
    if draft.ram is None:
        draft.ram = amount
    elif draft.ram.size_bytes != amount.size_bytes:
        raise MachineSpecError(
            f"Two amounts of RAM are given: {draft.ram.text!r} and {amount.text!r}.",
            hint="Say which is video memory, for example: 12GB VRAM, 32GB RAM",
        )


def _beside_card(amount: Amount, draft: Draft) -> Card | None:
    """Return the card without memory yet that the amount stands beside."""
    text = draft.words.text
    return next((c for c in draft.cards if c.amount is None and _beside(amount, c, text)), None)


def _beside(amount: Amount, card: Card, text: str) -> bool:
    if card.end <= amount.start:
        joining = (
            r"[\s(:-]*(?:(?:with|w|has|having|got|of|is|gpus?|graphics|cards?|edition|each"
            r"|version|model|laptop|nvidia|amd)\b[\s(/:]*)*"
        )
        return re.fullmatch(joining, text[card.end : amount.start]) is not None
    between = text[amount.end : card.start]
    return re.fullmatch(r"[\s-]*(?:(?:of|nvidia|amd|geforce|vram)\s+)*", between) is not None


def _is_a_version(amount: Amount, draft: Draft) -> bool:
    return any(
        amount.size_bytes in device.memory_options_bytes
        for card in draft.cards
        if card.amount is None and card.devices[0].kind == "discrete"
        for device in (*card.devices, *variants(card.text))
    )


def _is_too_much(card: Card, amount: Amount) -> bool:
    """Say whether a bare figure is more than the card can have, so that it is the RAM.

    Laptop cards are never modified; of desktop cards some are, to twice their memory.
    """
    sizes = [size for device in card.devices for size in device.memory_options_bytes]
    ratio = 1.0 if card.devices[0].name.endswith("Laptop") else _RAM_RATIO
    return not amount.at_least and bool(sizes) and amount.size_bytes > ratio * max(sizes)
