"""A plan in the terminal: the choice, what it was compared with, what other budgets buy, on what it rests."""

from rich.console import Console
from rich.table import Table

from flows.figures import duration
from tasks.algorithm.plan import Option, Plan

_GIB = 1 << 30
# Runs of the fit are so small that a prediction this many times further out is no more than an indication.
_FAR = 10.0


def show(plan: Plan, console: Console) -> None:
    """Print it."""
    choice, machine = plan.choice, plan.machine
    console.print(f"[bold]{shape(choice)}[/]", highlight=False)
    console.print(
        f"  {choice.tokens:,} tokens ({choice.epochs:,.2f} times the corpus of {plan.corpus.bytes / 1e6:,.1f} MB), "
        f"{choice.steps:,} steps of {choice.batch_tokens:,}",
        highlight=False,
    )
    console.print(_compared(plan))
    console.print(_ladder(plan))
    known = "measured just now"
    if machine.mfu and machine.dense_mfu:
        known = f"MFU of {machine.mfu:.0%} (dense {machine.dense_mfu:.0%}) assumed; {machine.source}"
    console.print(f"machine    {machine.name}, {machine.workers} workers; {known}", highlight=False)
    console.print(
        f"law        fitted on {plan.law.runs} runs on {plan.law.corpus}, spread {plan.law.spread:.1%}"
        + (f"; [yellow]{choice.beyond:,.0f} times further out than any of them[/]" if choice.beyond > _FAR else ""),
        highlight=False,
    )


def shape(option: Option) -> str:
    """A model in one line."""
    values = option.shape
    experts = f", {values['n_experts']} experts of {values['expert_ffn_width']}, {values['top_k']} a token"
    width = f"{option.kind}: width {values['width']}, {values['n_layers']} layers"
    return width + (experts if option.kind != "dense" else f", feed-forward {values['dense_ffn_width']}")


def _compared(plan: Plan) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False)
    columns = ("", "weights", "active", "tokens", "bits/byte", "nats/token", "time", "memory", "MFU", "cost")
    for column in columns:
        table.add_column(column, justify="left" if not column else "right")
    names = ["chosen", *(f"best {option.kind}" for option in plan.others[:1]), "as in params.yaml"]
    for name, option in zip(names, (plan.choice, *plan.others), strict=False):
        table.add_row(name, *_figures(option))
    return table


def _ladder(plan: Plan) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, title="what other budgets buy", title_justify="left")
    for column in ("budget", "bits/byte", "weights", "active", "tokens", "time", "cost", "model"):
        table.add_column(column, justify="left" if column in ("budget", "model") else "right")
    for rung in plan.ladder:
        name = f"{rung.times:g} x"
        if rung.option is None:
            table.add_row(name, "too little for any model")
            continue
        option = rung.option
        weights, active, tokens, bits, _, seconds, _, _, cost = _figures(option)
        table.add_row(name, bits, weights, active, tokens, seconds, cost, shape(option))
    return table


def _figures(option: Option) -> tuple[str, ...]:
    return (
        _short(option.total_parameters), _short(option.active_parameters), _short(option.tokens),
        f"{option.bits_per_byte:.3f}", f"{option.nats_per_token:.3f}", duration(option.seconds),
        f"{option.memory_bytes / _GIB:.1f} GiB", f"{option.mfu:.0%}",
        "" if option.money is None else f"{option.money:,.2f}",
    )  # fmt: skip


def _short(number: float) -> str:
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return f"{number:g}"
