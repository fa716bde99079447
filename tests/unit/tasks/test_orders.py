"""Checking orders and adding them up, with the data of the repository."""

import math
from pathlib import Path

import pytest

import tasks
from bridge import ActivityError
from tasks.data import generate
from tasks.orders import SourceUnavailable, aggregate, validate

DATA = Path(tasks.__file__).parent / "data"
ORDERS = str(DATA / "orders.csv")
MALFORMED = str(DATA / "malformed.csv")
HEADER = ",".join(generate.COLUMNS)


@pytest.fixture
def orders(tmp_path):
    """Make a file of orders from lines."""

    def write(*lines):
        path = tmp_path / "orders.csv"
        path.write_text("\n".join(lines) + "\n")
        return {"orders": str(path)}

    return write


def test_files_are_what_the_generator_makes():
    assert (DATA / "orders.csv").read_text() == generate.as_csv(generate.orders())
    assert (DATA / "malformed.csv").read_text() == generate.as_csv(generate.malformed())


class TestValidate:
    def test_returns_the_months(self):
        months = [f"2025-{month:02}" for month in range(1, 13)]

        assert validate({"orders": ORDERS}) == {"rows": 2_000, "months": months}

    def test_refusal_names_row_and_column(self):
        with pytest.raises(ActivityError) as refusal:
            validate({"orders": MALFORMED})

        assert refusal.value.error == "ProcessingError"
        for row, column, value in generate.FAULTS:
            assert f"row {row}, column {column} has {value!r}" in refusal.value.cause

    def test_refusal_is_short_for_many_bad_rows(self, orders):
        bad = [f"{number},2025-01-01,DE,Desk,none,1.00" for number in range(1_000)]

        with pytest.raises(ActivityError) as refusal:
            validate(orders(HEADER, *bad))

        assert refusal.value.cause.endswith("; and 995 more")
        assert len(refusal.value.cause) < 1_000

    @pytest.mark.parametrize(
        ("lines", "what"),
        [
            ([HEADER], "it has no orders"),
            (["order_id,date", "1,2025-01-01"], "row 2, column quantity has None: Field required"),
            ([HEADER, "1,2025-01-01,DE,Desk"], "row 2, column quantity has None"),
            ([HEADER, "1,2025-01-01,DE,Desk,1,1.00,x"], "row 2, column beyond the last has ['x']"),
            ([HEADER, "1,2025-01-01,Germany,Desk,1,1.00"], "row 2, column country has 'Germany'"),
            ([HEADER, "1,2025-01-01,DE,Desk,1,1.005"], "row 2, column unit_price_eur has '1.005'"),
            ([HEADER, "1,2025-01-01,DE,Desk,1,NaN"], "row 2, column unit_price_eur has 'NaN'"),
        ],
    )
    def test_refuses(self, orders, lines, what):
        with pytest.raises(ActivityError) as refusal:
            validate(orders(*lines))

        assert what in refusal.value.cause

    def test_refuses_a_file_that_is_not_there(self, tmp_path):
        with pytest.raises(ActivityError) as refusal:
            validate({"orders": str(tmp_path / "none.csv")})

        assert refusal.value.error == "ProcessingError"


class TestAggregate:
    def test_adds_up_one_month(self, orders, tmp_path):
        event = orders(
            HEADER,
            "1,2025-01-31,DE,Desk,2,10.10",
            "2,2025-02-01,DE,Desk,1,9.99",
            "3,2025-02-28,FR,Lamp,3,0.10",
            "4,2025-02-28,FR,Desk,1,0.01",
        )

        result = aggregate({**event, "month": "2025-02", "output_dir": str(tmp_path)})

        assert result == {
            "month": "2025-02",
            "orders": 3,
            "units": 5,
            "revenue_eur": {"Desk": 10.0, "Lamp": 0.3},
        }

    def test_the_months_add_up_to_the_year(self, tmp_path):
        months = [
            aggregate({"orders": ORDERS, "month": month, "output_dir": str(tmp_path)})
            for month in validate({"orders": ORDERS})["months"]
        ]

        assert sum(month["orders"] for month in months) == 2_000
        revenue = math.fsum(value for month in months for value in month["revenue_eur"].values())
        expected = math.fsum(
            row["quantity"] * float(row["unit_price_eur"]) for row in generate.orders()
        )
        assert revenue == pytest.approx(expected)

    def test_outage_fails_the_first_attempt_of_its_month_only(self, tmp_path):
        event = {"orders": ORDERS, "output_dir": str(tmp_path / "a"), "outage": "2025-03"}

        assert aggregate({**event, "month": "2025-02"})["orders"]
        with pytest.raises(SourceUnavailable):
            aggregate({**event, "month": "2025-03"})
        assert aggregate({**event, "month": "2025-03"})["orders"]
        with pytest.raises(SourceUnavailable):  # another execution has another folder
            aggregate({**event, "month": "2025-03", "output_dir": str(tmp_path / "b")})
