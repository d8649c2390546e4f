"""One call of the command line: the options that stand before and after every command, and the way to the App.

The App, the records and Rich are imported inside the functions that need them, here and in every module of this
package: `backupman version`, `--help` and shell completion answer without loading a database toolkit.
"""

import functools
import inspect
import os
import re
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli.mistakes import name_of
from backupman.errors import BackupmanError, ConfigError
from backupman.logs import Level, log_for_terminal

if TYPE_CHECKING:
    from backupman.app import App
    from backupman.config import Config, Loaded
    from backupman.config.worker import LoadedWorker
    from backupman.engine.figures import Asked
    from backupman.engine.outcome import Observer
    from backupman.store import Store

CONFIG_VARIABLE = "BACKUPMAN_CONFIG"
CONFIG_PLACES = (Path("config.yml"), Path("/etc/backupman/config.yml"))


@dataclass(frozen=True)
class Call:
    """What every command is told."""

    config: Path | None = None
    debug: bool = False
    quiet: bool = False
    verbose: bool = False

    def config_file(self) -> Path:
        """The config that is meant: `--config`, else `$BACKUPMAN_CONFIG`, else the first that is there.

        Raises:
            ConfigError: none is named and none is there.
        """
        if self.config:
            return self.config
        if named := os.environ.get(CONFIG_VARIABLE):
            return Path(named)
        for place in CONFIG_PLACES:
            if _is_or_may_be_there(place):
                return place
        looked = " nor ".join(str(place) for place in CONFIG_PLACES)
        raise ConfigError(f"there is no config: neither {looked} is there; write one with `backupman init`, or use -c")

    def load(self) -> "Loaded":
        """The config, checked. Raises ConfigError."""
        from backupman.config import load

        return load(self.config_file())

    def load_any(self, *, worker: bool = False) -> "Loaded | LoadedWorker":
        """The config, checked: as a worker reads it where it is a worker's own, or that is asked for.

        Raises:
            ConfigError: as `load` does.
        """
        from backupman.config.worker import load_any

        return load_any(self.config_file(), worker=worker)

    @contextmanager
    def app(
        self,
        observer: "Observer | None" = None,
        monitoring_verbosity: int | None = None,
        asked: "Asked | None" = None,
    ) -> Iterator["App"]:
        """The App of the config while the `with` lasts. Raises ConfigError, StoreError."""
        from backupman.app import App

        app = App.from_config(self.config_file(), observer, monitoring_verbosity, asked)
        try:
            yield app
        finally:
            app.close()

    @contextmanager
    def records(self) -> Iterator["tuple[Config, Store]"]:
        """The config and its store while the `with` lasts, for commands that only read. Raises ConfigError, StoreError.

        The engine is left alone: importing it takes longer than reading a page of records.
        """
        from backupman.store import Store

        config = self.load().config
        store = Store.open(config.database.address(config.state_folder))
        try:
            yield config, store
        finally:
            store.close()

    def log_level(self) -> Level | None:
        """What is to be logged by `--debug`, `--verbose` or `--quiet`; None without any of them."""
        if self.debug:
            return Level.DEBUG
        return Level.ERROR if self.quiet else Level.INFO if self.verbose else None

    def again(self, *words: str) -> str:
        """Another command on the same config, ready to be pasted: `backupman show 1a2b3c4d -c here.yml`."""
        return shlex.join(["backupman", *words, *self._named])

    def pasteable(self, sentence: str) -> str:
        """A sentence with each `backupman …` in it on the same config."""
        named = f" {shlex.join(self._named)}" if self._named else ""
        return re.sub(r"(?<=`)backupman [^`]+(?=`)", lambda command: command[0] + named, sentence)

    @property
    def _named(self) -> list[str]:
        return ["-c", str(self.config)] if self.config else []


def _is_or_may_be_there(file: Path) -> bool:
    """Also where its folder may not be entered, as others may not enter the service's: reading it says so."""
    try:
        return file.exists()
    except OSError:
        return True


def with_common_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command, which takes a Call, as one that Typer can offer: with `--config`, `--debug`, `-q` and `-v`.

    They stand before and after every command because groups and commands alike have them, and the last one counts.
    """

    @functools.wraps(command)
    def offered(
        ctx: typer.Context, config: Path | None, debug: bool, quiet: bool, verbose: bool, **options: object
    ) -> None:
        before: Call = ctx.obj or Call()
        call = Call(config or before.config, debug or before.debug, quiet or before.quiet, verbose or before.verbose)
        ctx.obj = call
        log_for_terminal(call.log_level() or Level.WARNING, detailed=call.debug)
        _refuse_empty(ctx)
        try:
            command(call, **options)
        except BackupmanError as error:
            error.sentence = call.pasteable(error.sentence)
            raise

    shared = inspect.signature(_common_options).parameters
    own = [parameter for name, parameter in inspect.signature(command).parameters.items() if name != "call"]
    parameters = [replaced.replace(kind=inspect.Parameter.KEYWORD_ONLY) for replaced in (*own, *shared.values())]
    context = inspect.Parameter("ctx", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
    signature = inspect.Signature([context, *parameters])
    vars(offered)["__signature__"] = signature
    offered.__annotations__ = {name: parameter.annotation for name, parameter in signature.parameters.items()}
    del vars(offered)["__wrapped__"]  # so that Typer looks at the signature given here
    return offered


def _refuse_empty(ctx: typer.Context) -> None:
    """Raise ConfigError for what is empty: an option left out means a live database, and all ids begin with nothing."""
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        is_option = parameter.param_type_name == "option"
        values = value if is_option and isinstance(value, list | tuple) else [value]
        if "" in values or Path() in values:  # what an empty text is as a path; a file has another
            or_not = "" if parameter.required else ", or leave it out"
            raise ConfigError(
                f"{name_of(parameter)} is empty: see that the variable that it was to hold is set{or_not}"
            )


def _common_options(
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            "-c",
            metavar="FILE",
            help="The config; default $BACKUPMAN_CONFIG, ./config.yml, /etc/backupman/config.yml.",
        ),
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Log everything, and show traces of errors.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless something is wrong.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log each step.")] = False,
) -> None:
    """Only its signature is used."""
