"""Wrong calls, told in one sentence that says what would be right: Typer's own words are about programs, not people."""

import re
from collections.abc import Sequence
from typing import Any

import typer

from backupman.text import did_you_mean

_CHOICES = re.compile(r"(?:Value error, )?(?P<said>'.*') is not one of (?P<choices>.+)\.", re.DOTALL)
_EXTRA = re.compile(r"Got unexpected extra argument\(?s?\)? \((?P<words>.*)\)", re.DOTALL)
_NO_COMMAND = re.compile(r"No such command '(?P<said>.*?)'\.", re.DOTALL)
_LEAST = re.compile(r"Input should be (greater|less) than or equal to (?P<bound>-?\d+)")

WrongCall: Any = typer.BadParameter.__base__
"""What Typer raises for any wrong call; it gives no name of its own to it."""


def is_help(error: Any) -> bool:
    """Whether nothing was asked for, so that the help is the answer."""
    return type(error).__name__ == "NoArgsIsHelpError"


def sentence(error: Any) -> str:
    """What is wrong with the call, what would be right, and where to read more."""
    told = _told(error)
    path = error.ctx.command_path if error.ctx else "backupman"
    return f"{told}{' See' if told.endswith('?') else '; see'} `{path} --help`"


def _told(error: Any) -> str:
    message = str(error.message or "")
    parameter = getattr(error, "param", None)
    if (option := getattr(error, "option_name", None)) and hasattr(error, "possibilities"):
        return f"there is no option {option}{_near(option, _options(error.ctx))}"
    if option:
        return f"{option} needs a value" if "requires an argument" in message else _plain(message)
    if parameter is not None and type(error).__name__ == "MissingParameter":
        about = f": {parameter.help}" if getattr(parameter, "help", None) else ""
        return f"{name_of(parameter)} is missing{about.rstrip('.')}"
    if found := _CHOICES.fullmatch(message):
        choices = re.findall(r"'([^']*)'", found["choices"])
        near = _near(found["said"].strip("'"), choices) or f": write {' or '.join(choices)}"
        return f"{name_of(parameter)}: {found['said']} is none of its values{near}"
    if found := _NO_COMMAND.match(message):
        return f"there is no command {found['said']!r}{_near(found['said'], list(error.ctx.command.commands))}"
    if found := _EXTRA.fullmatch(message):
        return f"nobody knows what {found['words']!r} is for: a value with spaces stands in quotes"
    return f"{name_of(parameter)}: {_plain(message)}" if parameter is not None else _plain(message)


def _plain(message: str) -> str:
    if found := _LEAST.match(message):
        return f"should be {found['bound']} or {'more' if found[1] == 'greater' else 'less'}"
    if message.startswith("Input should be a valid integer"):
        return "should be a whole number"
    message = message.removeprefix("Value error, ").rstrip(".")
    return message[:1].lower() + message[1:]


def name_of(parameter: Any) -> str:
    """An option by its long name, an argument as the help shows it."""
    if parameter.param_type_name == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.metavar or parameter.name)


def _options(ctx: Any) -> list[str]:
    return [option for parameter in ctx.command.get_params(ctx) for option in parameter.opts if option.startswith("-")]


def _near(said: str, known: Sequence[str]) -> str:
    return did_you_mean(said.strip("-"), {each.strip("-"): each for each in known})
