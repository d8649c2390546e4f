"""Fills in what a config's value refers to: the environment, files and systemd's credentials.

`${NAME}`, `${NAME:-default}`, `${file:/run/secrets/x}`, `${credential:name}`; `$${` stands for `${` itself.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from backupman.errors import ConfigError

_PLAIN = r"(?:[^${}]|\$(?!\{))"
_REFERENCE = re.compile(
    rf"\$\$\{{|\$\{{(?:(file|credential):({_PLAIN}+)|([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^$}}]|\$(?!\{{))*))?)\}}|\$\{{"
)
_MALFORMED = (
    "holds a ${ that begins neither ${NAME}, ${NAME:-default}, ${file:path} nor ${credential:name}; "
    "write $${ for a ${ that is meant as it stands"
)


@dataclass
class Filled:
    """A text with its references filled in: a sentence for each that cannot be, and the texts that were brought in."""

    text: str = ""
    complaints: list[str] = field(default_factory=list)
    from_files: list[str] = field(default_factory=list)
    from_environment: list[str] = field(default_factory=list)


def fill(text: str) -> Filled:
    """The text with its references filled in."""
    filled = Filled()

    def value(match: re.Match[str]) -> str:
        try:
            found = _referred(match)
        except ConfigError as error:
            filled.complaints.append(error.sentence)
            return ""
        (filled.from_files if match[1] else filled.from_environment).append(found)
        return found

    filled.text = _REFERENCE.sub(value, text)
    return filled


def only_refers(text: str) -> bool:
    """Whether the text refers to something elsewhere, and brings no text of its own along as a default."""
    references = [match for match in _REFERENCE.finditer(text) if match[0] != "$${"]
    return bool(references) and not any(match[4] for match in references)


def _referred(match: re.Match[str]) -> str:
    kind, name, variable, default = match.groups()
    if match[0] == "$${":
        return "${"
    if kind == "file":
        return _content(Path(name))
    if kind == "credential":
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if not folder:
            raise ConfigError(f"${{credential:{name}}} needs systemd's LoadCredential=: CREDENTIALS_DIRECTORY is unset")
        return _content(Path(folder) / name)
    if variable is None:
        raise ConfigError(_MALFORMED)
    found = os.environ.get(variable)
    if found or (found == "" and default is None):
        return found
    if default is None:
        raise ConfigError(f"the environment variable {variable} is not set; set it, or write ${{{variable}:-default}}")
    return str(default)


def _content(path: Path) -> str:
    """The text of a file without the line break at its end, and the mark that Windows puts before it."""
    try:
        return path.read_text(encoding="utf-8-sig").rstrip("\r\n")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError:  # not chained: it holds the file's bytes
        raise ConfigError(f"{path} cannot be read: it is not UTF-8 text") from None
