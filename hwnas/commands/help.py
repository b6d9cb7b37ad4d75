"""What every command and group has: help by topics, and flags that are checked before they are read."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from .print_flags import check_print_flags

OTHER = "Options"
_SENTENCE = 300
"""Characters after which the first sentence of a command is cut; the terminal wraps it before."""

Entry = tuple[str, str]
"""What is typed, and what it means."""


class TopicCommand(TyperCommand):
    """A command whose options stand under their topics (`rich_help_panel`), those without one at the end."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the words of the command line; UsageError for a file behind a flag that takes none."""
        check_print_flags(self, ctx, args)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the arguments, then a section per topic."""
        _write(formatter, _options(self, ctx))


class TopicGroup(TyperGroup):
    """A group whose commands stand under their topics."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """As of a command."""
        check_print_flags(self, ctx, args)
        return super().parse_args(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands first: whoever asks a group for help looks for one."""
        self.format_commands(ctx, formatter)
        _write(formatter, _options(self, ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section per topic."""
        entries = []
        for name in self.list_commands(ctx):
            command: Any = self.get_command(ctx, name)
            topic = _topic(command) or "Commands"
            entries.append((topic, (name, command.get_short_help_str(_SENTENCE))))
        _write(formatter, entries)


def _options(command: Any, ctx: Any) -> list[tuple[str, Entry]]:
    entries = []
    for parameter in command.get_params(ctx):
        entry = parameter.get_help_record(ctx)
        if entry is not None:
            topic = "Arguments" if parameter.param_type_name == "argument" else _topic(parameter) or OTHER
            entries.append((topic, entry))
    return entries


def _topic(item: Any) -> str | None:
    topic = getattr(item, "rich_help_panel", None)
    return topic if isinstance(topic, str) else None


def _write(formatter: Any, entries: Iterable[tuple[str, Entry]]) -> None:
    """A section per topic, in order of appearance, but for `OTHER`, which is last."""
    sections: dict[str, list[Entry]] = {}
    for topic, entry in entries:
        sections.setdefault(topic, []).append(entry)
    for topic in sorted(sections, key=lambda topic: topic == OTHER):
        with formatter.section(topic):
            formatter.write_dl(sections[topic])
