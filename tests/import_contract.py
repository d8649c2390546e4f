"""A rule for import-linter (pyproject.toml, contract_types): providers know nothing of each other.

The linter's own `independence` would need each provider's name; here a provider is, as everywhere, a module of its
family's folder whose name has no leading underscore.
"""

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class ProvidersApart(Contract):
    """No provider of `families` imports another one of them, directly or through a helper."""

    type_name = "providers_apart"
    families = fields.ListField(subfield=fields.StringField())

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Look for a chain of imports from each provider to each other one."""
        providers = {
            module
            for family in self.families  # type: ignore[attr-defined]
            for module in graph.find_children(family)
            if not module.rpartition(".")[2].startswith("_")
        }
        chains = [
            graph.find_shortest_chain(provider, other)
            for provider in sorted(providers)
            for other in sorted(graph.find_upstream_modules(provider) & providers - {provider})
        ]
        return ContractCheck(kept=bool(providers) and not chains, metadata={"chains": chains})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Print each chain."""
        for chain in check.metadata["chains"]:
            output.print_error(" imports ".join(chain))
