"""Check a file of orders, and add up the revenue of each month."""

import csv
import datetime
from collections import Counter, defaultdict
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Annotated, NotRequired, TypedDict

from celery import shared_task
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bridge import ActivityError

PROBLEMS_SHOWN = 5


class SourceUnavailable(Exception):
    """The orders cannot be read now; the state machine retries this error."""


class Order(BaseModel):
    """One row of the file."""

    model_config = ConfigDict(extra="forbid")

    order_id: int
    date: datetime.date
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    product: Annotated[str, Field(min_length=1)]
    quantity: Annotated[int, Field(gt=0)]
    unit_price_eur: Annotated[Decimal, Field(gt=0, decimal_places=2)]

    @property
    def month(self) -> str:
        """The month of the order, such as ``2025-03``."""
        return f"{self.date:%Y-%m}"

    @property
    def revenue_eur(self) -> Decimal:
        """The revenue of the order."""
        return self.quantity * self.unit_price_eur


class OrdersFile(TypedDict):
    """Input of ``validate``."""

    orders: str


class ValidOrders(TypedDict):
    """Output of ``validate``; the state machine's Map runs once for each month."""

    rows: int
    months: list[str]


class MonthOfOrders(TypedDict):
    """Input of ``aggregate``."""

    orders: str
    month: str
    output_dir: str
    outage: NotRequired[str]


class MonthlyRevenue(TypedDict):
    """Output of ``aggregate``."""

    month: str
    orders: int
    units: int
    revenue_eur: dict[str, float]


@shared_task(activity="data-validation-activity", heartbeat=5, on_lost="retry")
def validate(event: OrdersFile) -> ValidOrders:
    """Refuse a file with bad rows; return which months a good one covers."""
    months: Counter[str] = Counter()
    problems: list[str] = []
    for row, fields in _rows(Path(event["orders"])):
        try:
            months[Order.model_validate(fields).month] += 1
        except ValidationError as exc:
            columns = ((str(error["loc"][0]), error["msg"]) for error in exc.errors())
            problems += [
                f"row {row}, column {column} has {fields.get(column)!r}: {message}"
                for column, message in columns
            ]
    if problems or not months:
        shown = problems[:PROBLEMS_SHOWN] or ["it has no orders"]
        more = len(problems) - len(shown)
        tail = f"; and {more} more" if more > 0 else ""
        # The state machine's Catch of this error name continues with AnnounceRefusal.
        raise ActivityError("ProcessingError", f"{event['orders']}: {'; '.join(shown)}{tail}")
    return {"rows": months.total(), "months": sorted(months)}


@shared_task(activity="etl-process-activity", heartbeat=5, on_lost="retry")
def aggregate(event: MonthOfOrders) -> MonthlyRevenue:
    """Add up the orders of one month."""
    if event["month"] == event.get("outage"):
        _fail_once(Path(event["output_dir"]) / f"outage-{event['month']}")
    orders = [order for order in read(Path(event["orders"])) if order.month == event["month"]]
    revenue: defaultdict[str, Decimal] = defaultdict(Decimal)
    for order in orders:
        revenue[order.product] += order.revenue_eur
    return {
        "month": event["month"],
        "orders": len(orders),
        "units": sum(order.quantity for order in orders),
        "revenue_eur": {product: float(revenue[product]) for product in sorted(revenue)},
    }


def read(path: Path) -> Iterator[Order]:
    """The orders of a file that ``validate`` has accepted."""
    for _, fields in _rows(path):
        yield Order.model_validate(fields)


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Each row with its line number in the file; the header is row 1."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file, restkey="beyond the last")
            for fields in reader:
                yield reader.line_num, fields
    except FileNotFoundError:
        raise ActivityError("ProcessingError", f"there is no file {path}") from None


def _fail_once(marker: Path) -> None:
    """Fail at the first attempt only, to show the state machine's Retry."""
    marker.parent.mkdir(parents=True, exist_ok=True)
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return
    raise SourceUnavailable("the orders are locked by another program; try again")
