"""The list of commands in a help text, each with its whole first sentence."""

from typing import Any

from typer.core import TyperGroup


class Commands(TyperGroup):
    """A group whose help cuts no sentence off."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the list."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, _first_sentence(command.help)) for name, command in self.commands.items()])


def _first_sentence(text: str | None) -> str:
    """The first paragraph, up to its first full stop."""
    return " ".join((text or "").split("\n\n")[0].split()).split(". ")[0].rstrip(".")
