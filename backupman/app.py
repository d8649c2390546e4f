"""The wiring: one App holds everything that a command or the daemon works with. Nothing else is global."""

import gc
from dataclasses import dataclass, replace
from pathlib import Path

from backupman.config import Config, JobPlan, load, plans
from backupman.engine.deleting import Deleter
from backupman.engine.dispatcher import Dispatcher
from backupman.engine.executor import Executor
from backupman.engine.figures import Asked
from backupman.engine.holding import Holding
from backupman.engine.keeping import Keeping
from backupman.engine.outcome import Observer
from backupman.engine.pruning import Pruner
from backupman.engine.reconciling import Reconciler
from backupman.engine.recovery import Recovery
from backupman.engine.restoring import Restorer
from backupman.engine.runner import Runner
from backupman.engine.spools import Spools
from backupman.engine.steps import Steps
from backupman.engine.verifying import Verifier
from backupman.logs import hide_secrets
from backupman.notifiers import Endpoint
from backupman.records import Backup
from backupman.store import Store


class Unobserved:
    """An observer that looks away."""

    def began(self, backup: object) -> None:
        """Nothing."""

    def heard(self, backup: object, message: object) -> None:
        """Nothing."""

    def ended(self, backup: object) -> None:
        """Nothing."""


@dataclass(frozen=True)
class App:
    """A config and everything that was made from it."""

    config: Config
    config_file: Path
    plans: list[JobPlan]
    store: Store
    spools: Spools
    recovery: Recovery
    runner: Runner
    restorer: Restorer
    keeping: Keeping
    pruner: Pruner
    deleter: Deleter
    verifier: Verifier
    reconciler: Reconciler
    executor: Executor
    dispatcher: Dispatcher
    holding: Holding | None
    """What is claimed among several hosts; nothing where the records are of one host alone."""
    own_holding: Holding | None

    @classmethod
    def from_config(
        cls,
        config_file: Path,
        observer: Observer | None = None,
        monitoring_verbosity: int | None = None,
        asked: Asked | None = None,
        holding: Holding | None = None,
    ) -> "App":
        """The app of a config file, its store opened and migrated.

        The verbosity counts more than the config's; the log of each backup also says what is `asked`. With a `holding`,
        which outlives the app, it claims by that one what it does.

        Raises:
            ConfigError: the config is wrong.
            StoreError: the store cannot be used.
        """
        config = load(config_file).config
        hide_secrets(config.redact)
        store = Store.open(config.database.address(config.state_folder))
        if not gc.isenabled():  # the command line starts without; whatever has an App may live for long
            gc.freeze()  # what was imported stays, and is never looked through
            gc.enable()
        own = None
        if store.shared and holding is None:
            holding = own = Holding(store, config.instance, config.state_folder, config.database.takeover_after)
        verbosity = config.monitoring_verbosity if monitoring_verbosity is None else monitoring_verbosity
        app = cls.of(config, plans(config), config_file, store, observer, verbosity, asked, holding)
        return replace(app, own_holding=own)

    @classmethod
    def of(
        cls,
        config: Config,
        jobs: list[JobPlan],
        config_file: Path,
        store: Store,
        observer: Observer | None,
        verbosity: int,
        asked: Asked | None = None,
        holding: Holding | None = None,
    ) -> "App":
        """The app of a config that is loaded already, on a store that outlives it: let go of it by `release`."""
        spools, told = Spools(config, store, holding), endpoints(config)
        elsewhere, sources = sent_by_workers(config), config.source_labels
        keeping = Keeping(store, config.instance, verbosity)
        runner = Runner(config, store, spools, Steps(observer or Unobserved(), asked), config_file, keeping)
        pruner = Pruner(config, store, on_error=runner.on_error)
        restorer = Restorer(config, jobs, store, spools, holding)
        return cls(
            config=config,
            config_file=config_file,
            plans=jobs,
            store=store,
            spools=spools,
            recovery=Recovery(config, jobs, list(told.values()), store, spools, runner, restorer, holding),
            runner=runner,
            restorer=restorer,
            keeping=keeping,
            pruner=pruner,
            deleter=Deleter(config, store, pruner, spools, holding),
            verifier=Verifier(config, jobs, store, spools, on_error=runner.on_error),
            reconciler=Reconciler(config, jobs, store, holding),
            executor=Executor(config, runner, pruner, restorer, holding),
            dispatcher=Dispatcher(
                config.deliveries, told, store, config.instance, elsewhere=elsewhere, sources=sources
            ),
            holding=holding,
            own_holding=None,
        )

    def plan(self, label: str) -> JobPlan | None:
        """The job of that label."""
        return next((plan for plan in self.plans if plan.label == label), None)

    def backup(self, name: str) -> Backup:
        """The backup of that id, its beginning, or the `latest` of the config's sources. Raises NotFoundError."""
        return self.store.backups.get(name, self.config.source_labels)

    def release(self) -> None:
        """Begin nothing more."""
        self.executor.close()
        self.keeping.close()

    def close(self) -> None:
        """Begin nothing more, and let go of the store."""
        self.release()
        if self.own_holding:
            self.own_holding.close()
        self.store.close()


def endpoints(config: Config) -> dict[str, Endpoint]:
    """Every endpoint of a config by its name in the outbox."""
    return {endpoint.name: endpoint for notifier in config.all_notifiers() for endpoint in notifier.endpoints()}


def sent_by_workers(config: Config) -> dict[str, str]:
    """The endpoints whose messages wait for a worker, by name, and the queue of each."""
    if config.executor != "procrastinate":
        return {}
    return {name: queue for name in endpoints(config) if (queue := config.queue_of_endpoint(name))}
