"""The report's chart and summary; drawing it again gives the same picture."""

from pathlib import Path

import matplotlib.image
import pytest

import tasks
from tasks import report
from tasks.orders import aggregate, validate
from tasks.report import draw

ORDERS = str(Path(tasks.__file__).parent / "data" / "orders.csv")


@pytest.fixture(scope="module")
def months(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("months"))
    names = validate({"orders": ORDERS})["months"]
    return [aggregate({"orders": ORDERS, "month": name, "output_dir": folder}) for name in names]


@pytest.fixture
def event(months, tmp_path):
    return {"orders": ORDERS, "months": months, "output_dir": str(tmp_path / "out")}


@pytest.fixture
def _unpaced(monkeypatch):
    monkeypatch.setattr(report, "ROUND_S", 0.0)


def test_chart_is_a_png_of_the_expected_size(event):
    chart = Path(draw(event)["chart"])

    assert chart.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    height, width, _ = matplotlib.image.imread(chart).shape
    assert (width, height) == (1_200, 672)
    assert 20_000 < chart.stat().st_size < 200_000


def test_summary_says_what_the_chart_shows(event):
    result = draw(event)

    assert result["revenue_eur"] == 628_485.90
    assert result["summary"] == (
        "628,486 € from 2,000 orders; strongest month: December with 85,853 €"
    )


@pytest.mark.usefixtures("_unpaced")
@pytest.mark.parametrize("thorough", [False, True])
def test_drawing_again_changes_nothing(event, thorough):
    event["thorough"] = thorough
    first = draw(event)
    picture = Path(first["chart"]).read_bytes()

    assert draw(event) == first
    assert Path(first["chart"]).read_bytes() == picture
    assert [path.name for path in Path(event["output_dir"]).iterdir()] == ["revenue.png"]


@pytest.mark.usefixtures("_unpaced")
def test_thorough_report_gives_each_month_an_interval(months):
    intervals = report._intervals(Path(ORDERS))

    assert set(intervals) == {month["month"] for month in months}
    for month in months:
        low, high = intervals[month["month"]]
        assert low < sum(month["revenue_eur"].values()) < high


@pytest.mark.usefixtures("_unpaced")
def test_thorough_chart_differs(event):
    plain = Path(draw(event)["chart"]).read_bytes()

    assert Path(draw({**event, "thorough": True})["chart"]).read_bytes() != plain


def test_thorough_report_outlasts_the_heartbeat_of_its_state():
    assert report.ROUNDS * report.ROUND_S == 5.0


def test_one_month_is_enough(event):
    event["months"] = event["months"][:1]

    assert Path(draw(event)["chart"]).exists()
