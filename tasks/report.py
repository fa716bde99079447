"""Report the year's revenue in one sentence and one chart."""

import random
import statistics
import time
from collections import defaultdict
from pathlib import Path
from typing import NotRequired, TypedDict

from celery import shared_task

from tasks import chart, orders
from tasks.files import write_whole
from tasks.orders import MonthlyRevenue

ROUNDS = 50
RESAMPLES_PER_ROUND = 20
# Fifty rounds take five seconds, longer than the state's HeartbeatSeconds, so this task shows that
# the bridge sends heartbeats. It mostly sleeps, to leave a small machine to other processes.
ROUND_S = 0.1


class Year(TypedDict):
    """Input of ``draw``."""

    orders: str
    months: list[MonthlyRevenue]
    output_dir: str
    thorough: NotRequired[bool]


class Report(TypedDict):
    """Output of ``draw``."""

    chart: str
    summary: str
    revenue_eur: float


@shared_task(activity="report-generation-activity", heartbeat=1, on_lost="retry")
def draw(event: Year) -> Report:
    """Draw the chart; a thorough one also shows each month's interval of revenue."""
    months = sorted(event["months"], key=lambda month: month["month"])
    totals = {month["month"]: sum(month["revenue_eur"].values()) for month in months}
    strongest = max(totals, key=totals.__getitem__)
    summary = (
        f"{sum(totals.values()):,.0f} € from {sum(month['orders'] for month in months):,} orders; "
        f"strongest month: {chart.first_day(strongest):%B} with {totals[strongest]:,.0f} €"
    )
    intervals = _intervals(Path(event["orders"])) if event.get("thorough") else {}
    path = Path(event["output_dir"]) / "revenue.png"
    write_whole(path, chart.png(months, intervals, summary))
    return {"chart": str(path), "summary": summary, "revenue_eur": round(sum(totals.values()), 2)}


def _intervals(path: Path) -> chart.Intervals:
    """Each month's 95 % bootstrap interval: the revenue that another year like it might bring."""
    amounts = defaultdict(list)
    for order in orders.read(path):
        amounts[order.month].append(float(order.revenue_eur))
    rng = random.Random(0)  # noqa: S311 (seeded, so that a second run draws the same chart)
    resampled = defaultdict(list)
    for _ in range(ROUNDS):
        end = time.monotonic() + ROUND_S
        for month, values in amounts.items():
            for _ in range(RESAMPLES_PER_ROUND):
                resampled[month].append(sum(rng.choices(values, k=len(values))))
        time.sleep(max(0.0, end - time.monotonic()))
    intervals = {}
    for month, sums in resampled.items():
        cuts = statistics.quantiles(sums, n=40)  # 2.5 % apart
        intervals[month] = (cuts[0], cuts[-1])
    return intervals
