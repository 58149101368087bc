"""Conversations: turns in any of the common spellings, and which of them make a record."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from imine.records.values import dump_json

Turns = Literal["first", "last", "each", "joined"]
POLICIES: tuple[Turns, ...] = ("first", "last", "each", "joined")

ROLES = {
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "assistant",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
    "observation": "tool",
    "ipython": "tool",
}


class RowFault(Exception):
    """Why a row cannot be read; becomes the reason of a bad row."""


class Turn(NamedTuple):
    """One or more turns of the same speaker, in a row.

    Attributes:
        role: ``user``, ``assistant``, ``system`` or ``tool``.
        text: what was said; several turns are joined by a blank line.
        end: how many turns of the original conversation reach to here, this one included.
    """

    role: str
    text: str
    end: int


@dataclass(frozen=True, slots=True)
class Piece:
    """One record taken out of a row.

    Attributes:
        instruction, input, output: the texts.
        cut: turns of the conversation that belong to the record when it is written back; all if ``None``.
    """

    instruction: str
    input: str
    output: str
    cut: int | None = None


def with_system(system: str, instruction: str) -> str:
    """The instruction after the system message and a blank line.

    Examples:
        >>> with_system("Be brief.", "Who are you?")
        'Be brief.\\n\\nWho are you?'
    """
    return f"{system}\n\n{instruction}" if system.strip() else instruction


def parse_turns(value: Any) -> list[Turn]:
    """The turns of a conversation: a list of objects, or its JSON text.

    An object names its speaker in ``role`` or ``from`` and its text in ``content``, ``value`` or ``text``;
    the text may be a list of text parts, which are joined by a line break. Where there is none, or a blank
    one, the JSON text of ``tool_calls`` (or ``function_call``) stands for it.

    Raises:
        RowFault: it is something else.
    """
    turns: list[Turn] = []
    for number, item in enumerate(as_list(value), 1):
        if not isinstance(item, Mapping):
            raise RowFault(f"turn {number} is {kind_of(item)}, not an object")
        role, text = _role(item, number), _text(item, number)
        if turns and turns[-1].role == role:
            turns[-1] = Turn(role, f"{turns[-1].text}\n\n{text}", number)
        else:
            turns.append(Turn(role, text, number))
    return turns


def as_list(value: Any) -> list[Any]:
    """A conversation as a list, parsed where it came as JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as error:
            raise RowFault(f"the conversation is text, but not JSON ({error})") from error
    if not isinstance(value, list):
        raise RowFault(f"the conversation is {kind_of(value)}, not a list of turns")
    return value


def kind_of(value: Any) -> str:
    """What a value is, in JSON's words.

    Examples:
        >>> kind_of(None), kind_of(True), kind_of(1.5), kind_of({})
        ('null', 'a boolean', 'a number', 'an object')
    """
    names = {
        bool: "a boolean",
        int: "a number",
        float: "a number",
        str: "text",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), f"a {type(value).__name__}")


def _role(turn: Mapping[str, Any], number: int) -> str:
    named = turn.get("role") or turn.get("from")
    if not isinstance(named, str):
        raise RowFault(f"turn {number} has no 'role' or 'from'")
    role = ROLES.get(named.strip().lower())
    if role is None:
        raise RowFault(f"turn {number} has the unknown role {named!r}")
    return role


def _text(turn: Mapping[str, Any], number: int) -> str:
    content = next((turn[k] for k in ("content", "value", "text") if turn.get(k) is not None), None)
    text = "\n".join(_part(part, number) for part in content) if isinstance(content, list) else content
    calls = turn.get("tool_calls") or turn.get("function_call")
    if calls and (text is None or (isinstance(text, str) and not text.strip())):
        return dump_json(calls)
    if not isinstance(text, str):
        what = "no text" if text is None else f"{kind_of(text)} for its text"
        raise RowFault(f"turn {number} has {what}")
    return text


def _part(part: Any, number: int) -> str:
    text = part.get("text") if isinstance(part, Mapping) else part
    if not isinstance(text, str):
        kind = part.get("type") if isinstance(part, Mapping) else kind_of(part)
        raise RowFault(f"turn {number} has a part that is not text ({kind})")
    return text


def pieces_of(turns: Sequence[Turn], policy: Turns, system: str = "") -> list[Piece]:
    """The records of one conversation.

    A reply is answered to the last user turn before it: that turn is the instruction, with the system
    message and a blank line before it; every other turn before the reply goes into the input as
    ``User: ...``, ``Assistant: ...``, parted by blank lines. A user turn without a reply is left out.

    Args:
        turns: the conversation.
        policy: ``first`` and ``last`` take that reply, ``each`` every one; ``joined`` makes one record of
            all user turns and all replies, joined by blank lines.
        system: system message that stands outside; used where the conversation has none.

    Raises:
        RowFault: there is no reply to any user turn.

    Examples:
        >>> chat = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
        >>> pieces_of(parse_turns(chat), "first", "Be kind.")[0].instruction
        'Be kind.\\n\\nHi'
    """
    opening = next((i for i, turn in enumerate(turns) if turn.role == "user"), len(turns))
    replies = [i for i, turn in enumerate(turns) if turn.role == "assistant" and i > opening]
    if not replies:
        spoke = any(turn.role == "assistant" for turn in turns)
        raise RowFault("no user turn before the assistant's reply" if spoke else "no assistant reply")
    system = "\n\n".join(t.text for t in turns[:opening] if t.role == "system") or system
    rest = [t for i, t in enumerate(turns) if i > opening or t.role != "system"]
    if policy == "joined":
        return [_joined(rest, system)]
    chosen = {"first": replies[:1], "last": replies[-1:]}.get(policy, replies)
    return [_exchange(turns, opening, reply, system, policy == "each") for reply in chosen]


def _exchange(turns: Sequence[Turn], opening: int, reply: int, system: str, cut: bool) -> Piece:
    asked = max(i for i in range(opening, reply) if turns[i].role == "user")
    earlier = [t for i, t in enumerate(turns[:reply]) if i != asked and (i > opening or t.role != "system")]
    end = turns[reply].end if cut else None
    return Piece(with_system(system, turns[asked].text), transcript(earlier), turns[reply].text, end)


def _joined(turns: Sequence[Turn], system: str) -> Piece:
    asked, said = ("\n\n".join(t.text for t in turns if t.role == role) for role in ("user", "assistant"))
    return Piece(
        with_system(system, asked), transcript([t for t in turns if t.role in ("tool", "system")]), said
    )


def transcript(turns: Sequence[Turn]) -> str:
    """Turns as role-labelled text.

    Examples:
        >>> transcript([Turn("user", "Hi", 1), Turn("assistant", "Hello!", 2)])
        'User: Hi\\n\\nAssistant: Hello!'
    """
    return "\n\n".join(f"{turn.role.capitalize()}: {turn.text}" for turn in turns)


def piece_of_lists(prompt: Any, completion: Any, system: str = "") -> Piece:
    """The record of a prompt and a completion of which at least one is a list of messages.

    The last user turn of the prompt is the instruction, its other turns go into the input, and the
    assistant turns of the completion are the output: the completion is what is trained on, so the policy
    for turns does not apply.

    Raises:
        RowFault: the prompt has no user turn, or the completion no assistant turn.
    """
    before = [Turn("user", prompt, 1)] if isinstance(prompt, str) else parse_turns(prompt)
    after = [Turn("assistant", completion, 1)] if isinstance(completion, str) else parse_turns(completion)
    asked = max((i for i, t in enumerate(before) if t.role == "user"), default=None)
    replies = [t.text for t in after if t.role == "assistant"]
    if asked is None or not replies:
        raise RowFault("the prompt has no user turn" if asked is None else "no assistant reply")
    system = "\n\n".join(t.text for t in before if t.role == "system") or system
    earlier = [t for i, t in enumerate(before) if i != asked and t.role != "system"]
    return Piece(with_system(system, before[asked].text), transcript(earlier), "\n\n".join(replies))
