"""`config`: is it right, what does it say, what may it say, and what does a complete one look like."""

from importlib import resources

import typer

from backupman.cli.call import Call


def check(call: Call) -> None:
    """Say what is wrong with the config, every mistake with its line; opens no connection.

    \b
    Example:
      backupman config check -c new.yml
    """
    from backupman.cli.output import console, counted, print_marked
    from backupman.config import plans

    loaded = call.load()
    config, err = loaded.config, console(stderr=True)
    for warning in loaded.warnings:
        print_marked("warning", warning, err)
    if call.quiet:
        return
    told = sum(len(notifier.endpoints()) for notifier in config.all_notifiers())
    parts = [
        counted(len(config.data_sources), "source"),
        counted(len(config.drives), "drive"),
        counted(len(plans(config)), "job"),
        counted(told, "endpoint") if told else "nobody is told",
    ]
    print_marked("finished", f"{loaded.path} is right: {', '.join(parts)}.", console())


def show(call: Call) -> None:
    """Print the config as it was understood, without defaults, every secret masked.

    \b
    Example:
      backupman config show
    """
    import yaml

    typer.echo(yaml.safe_dump(call.load().config.masked(), sort_keys=False, allow_unicode=True), nl=False)


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


def example(call: Call) -> None:
    """Print a complete config, every setting explained.

    \b
    Example:
      backupman config example | less
    """
    typer.echo(resources.files("backupman.config").joinpath("example.yml").read_text(encoding="utf-8"), nl=False)
