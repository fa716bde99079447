"""Make orders.csv, a year of orders, and malformed.csv, which ``validate`` must refuse.

``python tasks/data/generate.py`` writes both into its own folder, with the same content each time.
"""

import csv
import datetime
import io
import random
from pathlib import Path

COLUMNS = ("order_id", "date", "country", "product", "quantity", "unit_price_eur")
YEAR = 2025
ORDERS = 2_000
PRODUCTS = {"Desk": 389.00, "Chair": 249.00, "Shelf": 119.00, "Lamp": 59.90, "Organiser": 19.90}
PRODUCT_WEIGHTS = (10, 18, 17, 25, 30)
COUNTRIES = ("DE", "FR", "NL", "AT", "ES", "PL")
COUNTRY_WEIGHTS = (34, 22, 15, 11, 10, 8)
MONTH_WEIGHTS = (9, 7, 8, 7, 6, 5, 4, 6, 10, 10, 13, 15)  # a quiet summer, a busy December
RISE_FROM = datetime.date(YEAR, 7, 1)
RISE = 1.04
MALFORMED_ROWS = 60
# Line of the file (the header is row 1), column, and the bad value.
FAULTS = (
    (14, "quantity", "two"),
    (27, "unit_price_eur", "-59.90"),
    (41, "date", "2025-02-30"),
)


def orders() -> list[dict[str, object]]:
    """A year of orders by date."""
    rng = random.Random(YEAR)  # noqa: S311 (these orders are no secret)
    days = []
    for month in rng.choices(range(1, 13), MONTH_WEIGHTS, k=ORDERS):
        first = datetime.date(YEAR, month, 1)
        following = (first + datetime.timedelta(days=31)).replace(day=1)
        days.append(first + datetime.timedelta(days=int(rng.random() * (following - first).days)))
    return [_order(rng, number, day) for number, day in enumerate(sorted(days), start=10_001)]


def _order(rng: random.Random, number: int, day: datetime.date) -> dict[str, object]:
    product = rng.choices(list(PRODUCTS), PRODUCT_WEIGHTS)[0]
    price = PRODUCTS[product] * (RISE if day >= RISE_FROM else 1)
    quantity = rng.choices((1, 2, 3, 4, 6, 10), (48, 22, 12, 9, 6, 3))[0]
    country = rng.choices(COUNTRIES, COUNTRY_WEIGHTS)[0]
    return dict(
        zip(COLUMNS, (number, day, country, product, quantity, f"{price:.2f}"), strict=True)
    )


def malformed() -> list[dict[str, object]]:
    """The first orders of the year, with a few faults as people make them in spreadsheets."""
    rows = orders()[:MALFORMED_ROWS]
    for row, column, value in FAULTS:
        rows[row - 2][column] = value
    return rows


def as_csv(rows: list[dict[str, object]]) -> str:
    """The rows as text, with a header."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


if __name__ == "__main__":
    here = Path(__file__).parent
    for name, rows in (("orders.csv", orders()), ("malformed.csv", malformed())):
        (here / name).write_text(as_csv(rows), encoding="utf-8", newline="")
