"""Figures as Markdown: what is planned, and what was found."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.figures import Figure, Place, Record
from benchmarks.gpu.machine import name_of, versions
from benchmarks.gpu.parts import Part


def plan(parts: Sequence[Part], place: Place) -> str:
    """Parts with their minutes, and each figure's prediction."""
    lines = [f"Predicted for an {place.machine.name}{' at toy size' if place.rehearsal else ''}.", ""]
    lines += ["| part | minutes | figure | predicted | from |", "|---|---:|---|---:|---|"]
    for part in parts:
        lines.append(f"| {part.name} | {part.minutes:g} | *{part.title}* | | |")
        for figure in part.figures(place):
            lines.append(f"| | | {figure.name} | {_expected(figure)} | {figure.basis} |")
    lines.append(f"| all | {sum(part.minutes for part in parts):g} | | | |")
    return "\n".join(lines)


def table(parts: Sequence[Part], place: Place) -> str:
    """What is known of every part."""
    date, lines = "", []
    for part in parts:
        path = place.folder / f"{part.name}.json"
        if not path.exists():
            continue
        rows = Record(path, place).rows
        lines += [
            "",
            f"### {part.title}",
            "",
            "| figure | predicted | measured | of predicted | bf16 peak | GB | |",
        ]
        lines.append("|---|---:|---:|---:|---:|---:|---|")
        for name, row in rows.items():
            date = max(date, row["date"])
            lines.append(_row(name, row))
        if not rows:
            lines.append(f"| all | | failed | | | | {_end(path.with_suffix('.log'))} |")
    size = "; a rehearsal at toy size" if place.rehearsal else ""
    head = f"{name_of(place.device)}; {versions()}; {date}; predicted for an {place.machine.name}{size}."
    return "\n".join([head, *lines]) + "\n"


def _row(name: str, row: dict[str, Any]) -> str:
    """One figure."""
    bound = "≤ " if row["most"] else ""
    predicted = "" if row["predicted"] is None else f"{bound}{_number(row['predicted'])} {row['unit']}"
    if "value" not in row:
        return f"| {name} | {predicted} | failed | | | | {row.get('error', 'under way')} |"
    of = "" if row["most"] or not row["predicted"] else f"{row['value'] / row['predicted']:.2f}"
    share = "" if row["share"] is None else f"{row['share']:.0%}"
    memory = "" if row["memory"] is None else f"{row['memory']:.1f}"
    measured = f"{_number(row['value'])} {row['unit']}"
    return f"| {name} | {predicted} | {measured} | {of} | {share} | {memory} | {row['note']} |"


def _end(log: Path) -> str:
    """Last line of a log."""
    lines = log.read_text(encoding="utf-8").split("\n") if log.exists() else []
    return next((line for line in reversed(lines) if line.strip()), "")[:300]


def _expected(figure: Figure) -> str:
    bound = "≤ " if figure.most else ""
    return "" if figure.predicted is None else f"{bound}{_number(figure.predicted)} {figure.unit}"


def _number(value: float) -> str:
    """Three digits, or all of a large whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
