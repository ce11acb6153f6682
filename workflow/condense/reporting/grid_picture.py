"""Stage figures: a table with a control as one picture, rows methods, columns uses of their sets."""

import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from condense.base.tables import read_table
from condense.config.metrics import METRICS
from condense.reporting.curves import Outputs
from condense.reporting.differences import LEVEL
from condense.reporting.gains import COLUMNS, HOW, Column, by_column, sentences
from condense.reporting.style import plot

CELL = 0.37  # inches of a cell's side, the unit of all that is placed
LETTER = 0.15  # width of a letter of a label, in cells
SMALL = 0.128  # likewise of a heading
GAP = 0.35  # between the columns of two learners, in cells
LEAST, MOST = 0.4, 0.94  # diameters of a circle, in cells: no difference, a resolved one
PALEST, DEEPEST = 0.04, 0.55  # of the colours, so that a number can be read on each
LINE = 0.3  # height of a line of text below the picture, in cells
WIDEST = 20  # cells of a block
NARROWEST = 13.5  # likewise, so that the key has room
SECONDS = 1.2  # width of a column of seconds, in cells
KEY = f"gain over {{}} in half-widths of its {LEVEL:.0%} interval: 0, 0.5, 1 or more (resolved)"
ARROWS = {1: " ↑", -1: " ↓", 0: ""}


def plot_grid(
    table: Annotated[Path, typer.Argument(help="Table of `tabulate` that has a control (CSV).")],
    output: Outputs,
) -> None:
    """Draw all of a table: colours by rank within a column, sizes by the interval of the gain."""
    rows = read_table(table, ["method", "budget", "metric", "mean", "images", *COLUMNS], least=1)
    budgets = [*rows[rows["method"] == rows["control"]].groupby("budget")["images"].max().sort_values().index]
    methods = [*dict.fromkeys(rows["method"])]
    rows = rows.to_dict("records")
    columns = by_column(rows)
    blocks = _blocks(columns, SECONDS * len(budgets))
    left = LETTER * max(map(len, methods)) + 0.5
    right = max(max(places.values()) for places in blocks) + 0.7
    right = max(right, max(blocks[-1].values()) + 0.5 + GAP + SECONDS * len(budgets), NARROWEST)
    above = SMALL * max(len(_head(column, budgets)) for column in columns) + 1.3
    height = above + len(methods) + 0.4
    below = _text(rows, int((left + right) / SMALL * 1.1))
    bottom = height * len(blocks) + 2.7 + LINE * len(below)
    size = (CELL * (left + right), CELL * bottom)
    with plot(output, 1, 1, figsize=size) as (figure, panels):
        panel = panels[0, 0]
        figure.set_layout_engine("none")  # everything is placed in cells
        panel.set_position((0, 0, 1, 1))
        panel.set(xlim=(-left, right), ylim=(bottom, 0), aspect="equal")
        panel.axis("off")
        for number, places in enumerate(blocks):
            top = number * height + above
            _labels(panel, top, methods, places, budgets)
            for column, x in places.items():
                for row in columns[column]:
                    _cell(panel, x, top + methods.index(row["method"]) + 0.5, row)
        start = max(blocks[-1].values()) + 0.5 + GAP
        for number, budget in enumerate(budgets):
            mine = {row["method"]: row["making_seconds"] for row in rows if row["budget"] == budget}
            _seconds(
                panel, start + SECONDS * (number + 0.5), top, f"{budget}: seconds to make", methods, mine
            )
        _key(panel, height * len(blocks) + 0.4, rows[0]["control"])
        for number, line in enumerate(below):
            y = height * len(blocks) + 2.5 + LINE * number
            panel.text(-left, y, line, fontsize=5.5, va="center")


def _text(rows: list[dict[str, Any]], wide: int) -> list[str]:
    """Lines below the picture, of so many letters at most."""
    lines = textwrap.wrap(HOW.format(rows[0]["control"]), wide)
    for sentence in sentences(rows):
        lines += textwrap.wrap(sentence, wide, subsequent_indent="    ")
    return lines


def _blocks(columns: Iterable[Column], last: float) -> list[dict[Column, float]]:
    """Middle of each column in cells; learners that do not fit beside others stand in a block below.

    A learner's name fits above its columns, and so many cells beside those of the last block.
    """
    blocks: list[dict[Column, float]] = [{}]
    start, learners = 0.0, [*dict.fromkeys(learner for learner, _, _ in columns)]
    for learner in learners:
        mine = [column for column in columns if column[0] == learner]
        span = max(len(mine), LETTER * len(learner))
        if blocks[-1] and start + span + last * (learner == learners[-1]) > WIDEST:
            blocks.append({})
            start = 0.0
        first = start + (span - len(mine)) / 2 + 0.5
        blocks[-1] |= {column: first + number for number, column in enumerate(mine)}
        start += span + GAP
    return blocks


def _head(column: Column, budgets: list[str]) -> str:
    """Heading of a column below its learner's name; the arrow says which end is better."""
    _, budget, metric = column
    label = METRICS[metric].label + ARROWS[METRICS[metric].better]
    return f"{budget}: {label}" if len(budgets) > 1 else label


def _labels(
    panel: Any, top: float, methods: list[str], places: dict[Column, float], budgets: list[str]
) -> None:
    """Names of methods, headings of columns and names of learners above them."""
    for number, method in enumerate(methods):
        panel.axhspan(top + number, top + number + 1, color="0.96" if number % 2 else "1", zorder=0)
        panel.text(-0.2, top + number + 0.5, method, ha="right", va="center", fontsize=7)
    for column, x in places.items():
        panel.text(x, top - 0.15, _head(column, budgets), rotation=90, ha="center", va="bottom", fontsize=6)
    head = top - SMALL * max(len(_head(column, budgets)) for column in places) - 0.3
    for learner in dict.fromkeys(learner for learner, _, _ in places):
        mine = [x for column, x in places.items() if column[0] == learner]
        panel.plot([mine[0] - 0.45, mine[-1] + 0.45], [head, head], color="0.4", linewidth=0.8)
        panel.text((mine[0] + mine[-1]) / 2, head - 0.15, learner, ha="center", va="bottom", fontsize=7)


def _cell(panel: Any, x: float, y: float, row: dict[str, Any]) -> None:
    """One value: circle or square, and the number on it; a dash where nothing was measured."""
    from matplotlib.patches import Circle, Rectangle

    if pd.isna(row["mean"]):
        panel.text(x, y, "–", ha="center", va="center", fontsize=5.5, color="0.5")
        return
    colour = _colour(1 if pd.isna(row["rank"]) else (row["rank"] - 1) / max(1, row["ranked"] - 1))
    if pd.isna(row["gain_low"]):
        panel.add_patch(Rectangle((x - 0.3, y - 0.3), 0.6, 0.6, **_look(colour, False)))
    else:
        sure = certainty(row)
        diameter = LEAST + (MOST - LEAST) * min(1, sure)
        panel.add_patch(Circle((x, y), diameter / 2, **_look(colour, sure > 1)))
    text = f"{row['mean']:.{METRICS[row['metric']].digits}f}".replace("-", "−")
    panel.text(x, y, text, ha="center", va="center", fontsize=5.5 if len(text) < 6 else 4.8)


def certainty(row: dict[str, Any]) -> float:
    """Size of a gain in half-widths of its interval; above 1 zero lies outside."""
    half = (row["gain_high"] - row["gain_low"]) / 2
    return abs(row["gain"]) / half if half else float(row["gain"] != 0) * 2


def _colour(place: float) -> Any:
    """Colour of a rank: 0 for the first, 1 for the last of a column."""
    from matplotlib import colormaps

    return colormaps["YlGnBu"](DEEPEST + (PALEST - DEEPEST) * place)


def _look(colour: Any, resolved: bool) -> dict[str, Any]:
    return {
        "facecolor": colour,
        "edgecolor": "black" if resolved else "0.65",
        "linewidth": 0.9 if resolved else 0.4,
    }


def _seconds(
    panel: Any, x: float, top: float, head: str, methods: list[str], taken: dict[str, float]
) -> None:
    """A column of seconds that the own jobs of each set took."""
    panel.text(x, top - 0.15, head, rotation=90, ha="center", va="bottom", fontsize=6)
    for method, seconds in taken.items():
        y = top + methods.index(method) + 0.5
        text = "–" if pd.isna(seconds) else f"{seconds:,.0f}"
        panel.text(x, y, text, ha="center", va="center", fontsize=5.5)


def _key(panel: Any, y: float, control: str) -> None:
    """What colour and size mean."""
    from matplotlib.patches import Circle, Rectangle

    x = 0.5
    for place in (0, 0.25, 0.5, 0.75, 1):
        panel.add_patch(Circle((x, y), 0.3, **_look(_colour(place), False)))
        x += 0.7
    x = _told(panel, x - 0.2, y, "rank in the column, first to last")
    panel.add_patch(Rectangle((x - 0.3, y - 0.3), 0.6, 0.6, **_look("white", False)))
    _told(panel, x + 0.5, y, "no interval")
    x, y = 0.5, y + 1.05
    for sure in (0, 0.5, 1):
        diameter = LEAST + (MOST - LEAST) * sure
        panel.add_patch(Circle((x, y), diameter / 2, **_look("white", sure == 1)))
        x += diameter / 2 + 0.6
    _told(panel, x - 0.2, y, KEY.format(control))


def _told(panel: Any, x: float, y: float, text: str) -> float:
    """Write words of the key; returns where the next sign goes."""
    panel.text(x, y, text, ha="left", va="center", fontsize=6)
    return x + SMALL * len(text) + 0.8
