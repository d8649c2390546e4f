"""The tables of a dump with their rows: those that changed most since the backup before."""

from rich.console import Console
from rich.padding import Padding

from backupman.cli.output import counted, one_line, print_marked, table
from backupman.manifest import ManifestShown, TableShown

_SHOWN = 20


def tables(manifest: ManifestShown, out: Console) -> None:
    """The tables of a manifest, and what is to be known of the numbers."""
    shown = table("TABLE", "ROWS", "CHANGE")
    shown.columns[0].no_wrap = False
    shown.columns[1].justify = shown.columns[2].justify = "right"
    for each in sorted(manifest.tables, key=_weight)[:_SHOWN]:
        shown.add_row(one_line(each.name, 200), _rows(each), _change(each))
    out.print(Padding(shown, (0, 0, 0, 2), expand=False))
    if (more := len(manifest.tables) - _SHOWN) > 0:
        out.print(f"  … and {counted(more, 'table')} more; --json shows all")
    if manifest.gone:
        names = ", ".join(one_line(name, 100) for name in manifest.gone[:_SHOWN])
        more_gone = f" and {len(manifest.gone) - _SHOWN} more" if len(manifest.gone) > _SHOWN else ""
        print_marked("warning", f"not there any more: {names}{more_gone}", out, indent=2)
    if not manifest.same_snapshot:
        out.print("  The rows were counted shortly before the dump, not in its snapshot.")


def _weight(each: TableShown) -> tuple[bool, int, int]:
    return not each.new, -abs(each.change or 0), -(each.rows or 0)


def _rows(each: TableShown) -> str:
    if each.rows is None:
        return "not counted"
    return f"{'' if each.exact else '~'}{each.rows:,}"


def _change(each: TableShown) -> str:
    if each.new:
        return "new"
    return f"{each.change:+,}" if each.change else "-"
