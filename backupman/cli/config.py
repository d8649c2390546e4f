"""`config`: is it right, what does it say, what may it say, and what does a complete one look like."""

from importlib import resources
from typing import TYPE_CHECKING, Annotated

import typer

from backupman.cli.call import Call

if TYPE_CHECKING:
    from backupman.config import Loaded
    from backupman.config.worker import LoadedWorker

AsWorker = Annotated[bool, typer.Option("--worker", help="Read it as `backupman worker` does, a whole config too.")]


def check(call: Call, worker: AsWorker = False) -> None:
    """Say what is wrong with the config, every mistake with its line; opens no connection.

    A config that has `instance` or `worker`, and neither `data_sources` nor `drives`, is read as a worker's own.

    \b
    Examples:
      backupman config check -c new.yml
      backupman config check -c worker.yml
    """
    from backupman.cli.output import console, print_marked

    loaded = call.load_any(worker=worker)
    for warning in loaded.warnings:
        print_marked("warning", warning, console(stderr=True))
    if not call.quiet:
        print_marked("finished", f"{loaded.path} is right: {_gist(loaded)}.", console())


def show(call: Call, worker: AsWorker = False) -> None:
    """Print the config as it was understood, without defaults, every secret masked.

    A worker's own is recognised as by `config check`.

    \b
    Example:
      backupman config show
    """
    import yaml

    masked = call.load_any(worker=worker).config.masked()
    typer.echo(yaml.safe_dump(masked, sort_keys=False, allow_unicode=True), nl=False)


def schema(call: Call) -> None:
    """Print a JSON Schema of the whole config, for editors.

    \b
    Example:
      backupman config schema > backupman.schema.json
    and as the first line of the config:
      # yaml-language-server: $schema=backupman.schema.json
    """
    from backupman.cli.output import print_json
    from backupman.cli.schema import config_schema

    print_json(config_schema())


def example(
    call: Call,
    worker: Annotated[bool, typer.Option("--worker", help="The config of a worker.")] = False,
) -> None:
    """Print a complete config, every setting explained.

    \b
    Examples:
      backupman config example | less
      backupman config example --worker > worker.yml
    """
    name = "example-worker.yml" if worker else "example.yml"
    typer.echo(resources.files("backupman.config").joinpath(name).read_text(encoding="utf-8"), nl=False)


def _gist(loaded: "Loaded | LoadedWorker") -> str:
    """What a good config comes to, in a few words."""
    from backupman.cli.output import counted
    from backupman.config import Loaded, plans
    from backupman.queues import ANY

    if isinstance(loaded, Loaded):
        config = loaded.config
        told = sum(len(notifier.endpoints()) for notifier in config.all_notifiers())
        parts = [
            counted(len(config.data_sources), "source"),
            counted(len(config.drives), "drive"),
            counted(len(plans(config)), "job"),
            counted(told, "endpoint") if told else "nobody is told",
        ]
    else:
        section = loaded.config.worker
        queues = [*section.queues, *([ANY] if section.take_any else [])]
        parts = [
            f"a worker of {loaded.config.instance}",
            f"takes from {' and '.join(queues) or 'no queue'}",
            "all sources but `command`"
            if section.allow is None
            else f"sources by {counted(len(section.allow), 'rule')}",
            "runs hooks" if section.hooks else "runs no hooks",
        ]
    return ", ".join(parts)
