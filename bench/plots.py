"""Draw the results as pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

OURS, OTHERS = "#1f77b4", "#b0b0b0"


def draw(results: dict[str, Any], folder: Path) -> list[Path]:
    """Draw one picture a measure into ``folder``; the files."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    makers: dict[str, Callable[[Any, dict[str, Any]], None]] = {
        "cost": _cost,
        "latency": _latency,
        "growth": _growth,
        "polls": _polls,
    }
    drawn = []
    for name, make in makers.items():
        if name not in results["measures"]:
            continue
        figure, axes = plt.subplots(figsize=(7.2, 3.9), layout="constrained")
        make(axes, results["measures"][name])
        axes.spines[["top", "right"]].set_visible(False)
        path = folder / f"{name}.png"
        figure.savefig(path, dpi=110, metadata={"Software": None})
        plt.close(figure)
        drawn.append(path)
    return drawn


def _colours(names: list[str]) -> list[str]:
    return [OURS if name.startswith("bridge") else OTHERS for name in names]


def _cost(axes: Any, measured: dict[str, Any]) -> None:
    # Left out: beside its bar all others would be thin lines.
    names = [name for name in measured["contestants"] if name != "heaviside-manager"][::-1]
    rows = [measured["contestants"][name] for name in names]
    middle = [row["cpu_ms"]["median"] for row in rows]
    low = [row["cpu_ms"]["median"] - row["cpu_ms"]["min"] for row in rows]
    high = [row["cpu_ms"]["max"] - row["cpu_ms"]["median"] for row in rows]
    axes.barh([row["label"] for row in rows], middle, xerr=[low, high], color=_colours(names))
    axes.set_xlabel("CPU per no-op task, ms (all processes; median, min–max)")


def _latency(axes: Any, measured: dict[str, Any]) -> None:
    names = list(measured["contestants"])[::-1]
    rows = [measured["contestants"][name] for name in names]
    for offset, load, alpha in ((0.2, "idle", 1.0), (-0.2, "half", 0.5)):
        places = [place + offset for place in range(len(rows))]
        p50 = [row[load]["to_begin"]["p50_ms"] for row in rows]
        tail = [row[load]["to_begin"]["p99_ms"] - row[load]["to_begin"]["p50_ms"] for row in rows]
        label = "idle" if load == "idle" else "half load"
        axes.barh(
            places,
            p50,
            0.36,
            xerr=[[0] * len(rows), tail],
            color=_colours(names),
            alpha=alpha,
            label=label,
        )
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axes.set_xscale("log")
    axes.set_xlabel("scheduled → begun, ms: p50, line to p99 (dark: idle, pale: half load)")


def _growth(axes: Any, measured: dict[str, Any]) -> None:
    rows = [row for row in measured["rows"] if row["activities"] == 1]
    claims = [row["claims"] for row in rows]
    for key, label in (
        ("heartbeat_cpu_ms", "heartbeat, CPU ms each"),
        ("recovery_ms", "recovery, none due, ms"),
        ("status_ms", "status, ms"),
    ):
        axes.plot(claims, [row[key]["median"] for row in rows], marker="o", label=label)
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel("claims in flight")
    axes.legend(frameon=False)


def _polls(axes: Any, measured: dict[str, Any]) -> None:
    rows = sorted(measured["pollers"], key=lambda row: (row["polls"], row["activities"]))
    labels = [f"{row['polls']:,} / {row['activities']}" for row in rows]
    axes.bar(labels, [row["rss_mb"] for row in rows], color=OURS)
    axes.axhline(measured["base_rss_mb"], color=OTHERS, linestyle="--", label="at rest")
    for place, row in enumerate(rows):
        axes.annotate(
            f"{row['idle_cpu_percent']:.1f} % CPU",
            (place, row["rss_mb"]),
            ha="center",
            va="bottom",
            fontsize=8,
        )
    axes.set_xlabel("open polls / activities")
    axes.set_ylabel("RSS of the poller, MB")
    axes.legend(frameon=False)
