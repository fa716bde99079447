"""Draw the chart of the report: a column for each month, stacked by product."""

import datetime
import io
from collections.abc import Mapping, Sequence
from typing import Any

from tasks.orders import MonthlyRevenue

Intervals = Mapping[str, tuple[float, float]]
"""Month → lowest and highest revenue in euros; empty: the chart shows none."""

# The colours of Okabe and Ito, which colour-blind people can tell apart.
COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#E69F00", "#CC79A7", "#D55E00", "#F0E442")
INK, FAINT, GRID = "#222222", "#666666", "#DDDDDD"


def first_day(month: str) -> datetime.date:
    """The first day of a month such as ``2025-03``."""
    return datetime.date.fromisoformat(f"{month}-01")


def png(months: Sequence[MonthlyRevenue], intervals: Intervals, summary: str) -> bytes:
    """Draw the chart, 1,200 pixels wide."""
    # Imported here, because poller, beat and Flower import the tasks, too, and draw nothing. Not
    # pyplot, whose figures are global: so the task also runs on a pool of threads.
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    layout = ConstrainedLayoutEngine(w_pad=0.15, h_pad=0.15)
    figure = Figure(figsize=(10, 5.6), dpi=120, layout=layout)
    axes = figure.add_subplot()
    tops = _stack_columns(axes, months)
    if intervals:
        _draw_intervals(axes, tops, [intervals[month["month"]] for month in months])
    _label(axes, [first_day(month["month"]) for month in months], tops, summary)
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    return picture.getvalue()


def _stack_columns(axes: Any, months: Sequence[MonthlyRevenue]) -> list[float]:
    """Draw the columns, the product with most revenue at the bottom; their heights."""

    def revenue(month: MonthlyRevenue, product: str) -> float:
        return month["revenue_eur"].get(product, 0) / 1_000

    products = sorted(
        {product for month in months for product in month["revenue_eur"]},
        key=lambda product: sum(revenue(month, product) for month in months),
        reverse=True,
    )
    tops = [0.0] * len(months)
    for index, product in enumerate(products):
        heights = [revenue(month, product) for month in months]
        colour = COLOURS[index % len(COLOURS)]
        axes.bar(range(len(months)), heights, 0.72, tops, label=product, color=colour)
        tops = [top + height for top, height in zip(tops, heights, strict=True)]
    return tops


def _draw_intervals(
    axes: Any, tops: Sequence[float], intervals: Sequence[tuple[float, float]]
) -> None:
    lows, highs = zip(*intervals, strict=True)
    below = [top - low / 1_000 for top, low in zip(tops, lows, strict=True)]
    above = [high / 1_000 - top for top, high in zip(tops, highs, strict=True)]
    axes.errorbar(
        range(len(tops)),
        tops,
        (below, above),
        fmt="none",
        ecolor=INK,
        capsize=4,
        elinewidth=1.2,
        label="95 % interval\nof the month",
    )


def _label(axes: Any, days: Sequence[datetime.date], tops: Sequence[float], summary: str) -> None:
    """Add title, axes and legend; ``days`` are the first days of the months."""
    years = " to ".join(dict.fromkeys(f"{day.year}" for day in (days[0], days[-1])))
    title = f"Revenue by month and product, {years}\n"
    axes.set_title(title, loc="left", color=INK, fontsize=15, fontweight="bold")
    axes.text(0, 1.03, summary, transform=axes.transAxes, color=FAINT, fontsize=11)
    axes.set_xticks(
        range(len(days)),
        [f"{day:%b}\n{top:.1f}" for day, top in zip(days, tops, strict=True)],
    )
    axes.set_xlabel("Month of order, and its revenue (thousand €)")
    axes.set_ylabel("Revenue (thousand €)")
    axes.margins(x=0.02)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(length=0)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1, 1), frameon=False, reverse=True)
