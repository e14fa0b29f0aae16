"""How the command line speaks: colours and tables on a terminal, plain lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local_stack.doctor import Finding
    from local_stack.status import FunctionStatus, PartStatus

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)
if not out.is_terminal:
    out.width = 200  # a pipe has no width; 80, Rich's guess, would cut the tables
_COLOURS = {"ready": "green", "elsewhere": "green", "starting": "yellow", "not ready": "yellow"}


class ConsoleReport:
    """Prints each step of `up` and `down` as it happens."""

    def step(self, title: str, seconds: float, detail: str = "") -> None:
        """One line: what, how long, where."""
        line = f"[green]✓[/green] {escape(title):<18} {seconds:6.2f} s  [dim]{escape(detail)}[/dim]"
        out.print(line.rstrip())

    def note(self, text: str) -> None:
        """A remark."""
        out.print(f"[yellow]![/yellow] {escape(text)}")


def parts_table(parts: Iterable[PartStatus]) -> Table:
    """The table of `local-stack status`."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("Part", "State", "Pid", "Address", "Uptime", "Restarts", "Memory"):
        right = title in ("Pid", "Uptime", "Restarts", "Memory")
        table.add_column(title, justify="right" if right else "left", no_wrap=True)
    for part in parts:
        colour = _COLOURS.get(part.state, "red")
        table.add_row(
            part.name,
            f"[{colour}]{part.state}[/{colour}]",
            _or_dash(part.pid),
            part.address,
            "-" if part.uptime_s is None else _duration(part.uptime_s),
            _or_dash(part.restarts),
            "-" if part.memory_bytes is None else f"{part.memory_bytes / 1e6:.0f} MB",
        )
    return table


def functions_table(functions: Iterable[FunctionStatus]) -> Table:
    """Every function: its environments by state, who waits, its limits, what it has done."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("Function")
    table.add_column("Environments")
    titles = ("Waiting", "Events", "Limit", "Provisioned", "Invocations", "Cold starts")
    for title in (*titles, "Throttles"):
        table.add_column(title, justify="right")
    for item in functions:
        states = ", ".join(f"{count} {state}" for state, count in sorted(item.states.items()))
        numbers = (item.waiting, item.events, _or_dash(item.limit), item.provisioned)
        counted = (item.invocations, item.cold_starts, item.throttles)
        table.add_row(item.name, states or "-", *(str(number) for number in (*numbers, *counted)))
    return table


def show_finding(finding: Finding) -> None:
    """One line of `local-stack doctor`."""
    name, passed, said = finding
    mark = "[green]✓[/green]" if passed else "[red]✗[/red]"
    out.print(f"{mark} {escape(name):<14} {escape(said)}".rstrip())


def _or_dash(value: int | None) -> str:
    return "-" if value is None else str(value)


def _duration(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minute:02} min"
    return f"{minute} min {second:02} s" if minute else f"{second} s"
