"""Reading settings from flags and the environment, with errors that name each and what would be right."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class SettingsReader:
    """Reads each variable and remembers what was wrong, so that all of it is told at once."""

    flags: Mapping[str, str | None]
    environment: Mapping[str, str]
    defaults: Mapping[str, str]
    wrong: list[str] = field(default_factory=list)

    def text(self, variable: str) -> str:
        """As it was given, else the default."""
        flag = self.flags.get(variable)
        given = flag if flag is not None else self.environment.get(variable, "")
        return given.strip() or self.defaults[variable]

    def integer(self, variable: str, lowest: int, highest: int) -> int:
        """An integer within the bounds, both included."""
        text = self.text(variable)
        if text.isascii() and text.isdigit() and lowest <= int(text) <= highest:
            return int(text)
        self.wrong.append(f"{variable} must be an integer from {lowest} to {highest}. Given: {text!r}")
        return lowest

    def optional_integer(self, variable: str, lowest: int, highest: int) -> int | None:
        """The same; None where nothing was given."""
        return self.integer(variable, lowest, highest) if self.text(variable) else None

    def sizes(self, variable: str, highest: int) -> tuple[int, ...]:
        """Ascending numbers, with commas between; 0 for none."""
        parts = [part.strip() for part in self.text(variable).split(",")]
        if parts == ["0"]:
            return ()
        if not all(part.isascii() and part.isdigit() and 0 < int(part) <= highest for part in parts):
            self.wrong.append(
                f"{variable} must be 0, or integers from 1 to {highest} with commas between. "
                f"Given: {self.text(variable)!r}"
            )
            return ()
        return tuple(sorted({int(part) for part in parts}))

    def one_of(self, variable: str, choices: Sequence[str]) -> str:
        """One of the choices."""
        text = self.text(variable)
        if text not in choices:
            self.wrong.append(f"{variable} must be one of {', '.join(choices)}. Given: {text!r}")
        return text

    def required(self, variable: str, what: str) -> str:
        """A text that can't be left out; `what` says what it would be."""
        text = self.text(variable)
        if not text:
            self.wrong.append(f"{variable} is missing: set it to {what}")
        return text

    def named_locations(self, variable: str) -> dict[str, str]:
        """`name=location`, or a location alone, which is its own name; with commas between."""
        found: dict[str, str] = {}
        for part in filter(None, map(str.strip, self.text(variable).split(","))):
            name, _, location = (
                side.strip() for side in (part if "=" in part else f"{part}={part}").partition("=")
            )
            if not name or not location or name in found:
                self.wrong.append(
                    f"{variable} must be name=location, with commas between, each name once. Given: {part!r}"
                )
            found[name] = location
        return found

    def hostname(self) -> str:
        """An address; as in TGI, a HOSTNAME that is none (a container has its own name there) means all."""
        text = self.text("HOSTNAME")
        if _is_address(text):
            return text
        if self.flags.get("HOSTNAME") is not None:
            self.wrong.append(f"--hostname must be an IP address or localhost. Given: {text!r}")
        return self.defaults["HOSTNAME"]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return text == "localhost"
    return True
