"""Messages in Python's terms: an option of a command (``--mask-bits 1``) becomes an argument (``mask_bits=1``).

Commands and functions do the same work and share messages, which are written for the commands. They are converted in
one place, where they leave a function.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from seglab.errors import SeglabError

FUNCTIONS = {"seg-batch run": "seglab.segment", "seglab train": "seglab.train", "seglab validate": "seglab.validate"}
"""The functions that do the same as a command, by its name."""

_CHOICES = (
    r"auto|cpu|openvino|cuda(?::(?:K|\d+))?|tensorrt|fp32|bf16|int8|"
    "refuse|report|off|exif|stored|training|validation|test|all|wandb|mlflow"
)
"""Values that follow an option in messages, besides numbers and placeholders (DIR)."""
_VALUE = rf"(?:{_CHOICES})\b|[A-Z][A-Z0-9|%]*\b|\d+%?"
_TEXT = r"=(?:\.{3}|[^\s`,;)]*[^\s`,;.)])?"
_OPTION = re.compile(
    r"(?P<verb>\b(?:[Aa]dd|[Ww]ith|[Uu]se) )?(?<![\w-])--"
    rf"(?:set (?P<key>[a-z_]+)(?P<text>{_TEXT})?|(?P<name>[a-z][a-z-]*)(?: (?P<value>{_VALUE}))?)"
    r"(?P<end>(?=[.,;:)]|$))?"
)
_WORD = r" --[a-z][a-z-]*(?: (?:'[^']*'|[^\s`'-][^\s`]*))?"
_COMMAND = re.compile(rf"`(?P<quoted>[^`]*)`|(?P<plain>(?:{'|'.join(FUNCTIONS)})(?:{_WORD})+)")


class PythonTerms:
    """Converts the messages of a command for its function.

    ``defaults``: the function's arguments with their defaults. ``settings``: settings that the command takes by
    ``--set`` and the function as arguments. ``renamed``: arguments by option name, if the two differ.
    """

    def __init__(
        self,
        command: str,
        defaults: Mapping[str, Any],
        settings: Collection[str] = (),
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        self._command = command
        self._defaults = defaults
        self._settings = settings
        self._renamed = renamed or {}

    def say(self, text: str) -> str:
        """Return a message in Python's terms. Options and commands without an equivalent are not changed."""
        said, at = [], 0
        for found in _COMMAND.finditer(text):
            said += [_OPTION.sub(self._argument, text[at : found.start()]), self._call(found)]
            at = found.end()
        return "".join([*said, _OPTION.sub(self._argument, text[at:])])

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Convert the messages of errors that pass through, and the ``reason`` and ``hint`` of device errors."""
        try:
            yield
        except SeglabError as error:
            error.args = tuple(self.say(part) if isinstance(part, str) else part for part in error.args)
            for name in ("reason", "hint"):
                if isinstance(part := getattr(error, name, None), str):
                    setattr(error, name, self.say(part))
            raise

    def _argument(self, found: re.Match[str]) -> str:
        """Return the argument for an option in a sentence; the option if the function has no such argument."""
        verb = found["verb"] or ""
        name, text = self._named(found["name"], found["key"]), found["text"]
        if name is None:
            return found[0]
        value = found["value"] if text is None else text.removeprefix("=")
        if value is not None:
            return f"{verb}{name}={_literal(value)}"
        if verb and isinstance(self._defaults.get(name), bool):
            return f"{verb}{name}=True"
        return f"{verb}{name}" + ("" if found["end"] is None else "=")

    def _named(self, option: str | None, setting: str | None) -> str | None:
        """Return the argument's name for an option or a setting; None if there is none."""
        if option is None:
            return setting if setting in self._settings else None
        name = self._renamed.get(option, option.replace("-", "_"))
        return name if name in self._defaults else None

    def _call(self, found: re.Match[str]) -> str:
        """Return the call that does the same as a command; the command if there is none."""
        text, mark = (found["plain"], "") if found["plain"] else (found["quoted"], "`")
        command = next((name for name in FUNCTIONS if f"{text} ".startswith(f"{name} ")), "")
        options = text.removeprefix(command)
        if not command or (options and command != self._command):
            return found[0]
        arguments = [self._passed(word.strip()) for word in re.findall(_WORD, options)]
        if None in arguments or "".join(re.findall(_WORD, options)) != options:
            return found[0]
        return mark + FUNCTIONS[command] + (f"({', '.join(map(str, arguments))})" if options else "") + mark

    def _passed(self, word: str) -> str | None:
        """Return an option of a command, with its value, as an argument; None if there is none."""
        option, _, value = word.removeprefix("--").partition(" ")
        if option == "set":
            key, _, value = value.partition("=")
            name = self._named(None, key)
        else:
            name = self._named(option, None)
        return None if name is None else f"{name}={_literal(value) if value else True}"


def _literal(value: str) -> str:
    """Return a command-line value as a Python literal: ``cpu`` becomes ``"cpu"``. Placeholders are not changed."""
    if value in ("true", "false"):
        return value.capitalize()
    if value.isupper() or re.fullmatch(r"\.{3}|-?\d+(\.\d+)?(e-?\d+)?|\[[\d, ]*\]", value):
        return value
    return json.dumps(value.strip("'"), ensure_ascii=False)
