"""The tables in docs/metrics.md; ``python -m bridge.metrics.table`` in a checkout renews them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bridge.metrics import catalogue
from bridge.metrics.catalogue import Metric

DOC = Path("docs/metrics.md")
PARTS = {"process": catalogue.OF_PROCESS, "fleet": catalogue.OF_FLEET}


def table(metrics: Iterable[Metric]) -> str:
    """A table of metrics, a row each."""
    rows = ["| name | type | labels | unit | meaning |", "|---|---|---|---|---|"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "–"
        cells = (f"`{metric.name}`", metric.kind, labels, metric.unit or "–", metric.help)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def renewed(text: str) -> str:
    """The document with its tables as they should be, between their markers."""
    for part, metrics in PARTS.items():
        begin, end = f"<!-- {part}: made by bridge.metrics.table -->", f"<!-- /{part} -->"
        head, rest = text.split(begin)
        _, tail = rest.split(end)
        text = f"{head}{begin}\n{table(metrics)}\n{end}{tail}"
    return text


if __name__ == "__main__":
    DOC.write_text(renewed(DOC.read_text("utf-8")), "utf-8")
