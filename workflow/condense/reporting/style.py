"""One look for every plot: legible at column width, colours that colour-blind readers tell apart."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from condense.base.errors import InputError
from condense.base.storage import replacing

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"]  # Okabe and Ito
LINES = ["-", "--", ":", "-."]
COLUMN, PAGE = 3.4, 7.0  # widths in inches, of a column and of a page
FORMATS = (".png", ".svg", ".pdf")
LOOK = {
    "font.size": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.markersize": 4,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.useoffset": False,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.5,
    "text.parse_math": False,  # a dollar in a name is a dollar
    "svg.hashsalt": "condense",  # the same plot gives the same file
    "savefig.dpi": 220,
}


def line(number: int) -> dict[str, str]:
    """Colour and line of the n-th thing that is compared."""
    rounds, colour = divmod(number, len(COLOURS))
    return {"color": COLOURS[colour], "linestyle": LINES[rounds % len(LINES)]}


def shorten(text: str, inches: float, points: float) -> str:
    """The text, its middle left out where letters of so many points would take more than so many inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    font = FontProperties(size=points)
    short, kept = text, len(text)
    while kept > 2 and text_to_path.get_text_width_height_descent(short, font, False)[0] > 72 * inches:
        kept -= 1
        short = f"{text[: kept - kept // 2]}…{text[-(kept // 2) :]}"
    return short


@contextmanager
def plot(outputs: list[Path], rows: int, columns: int, **size: Any) -> Iterator[tuple[Any, Any]]:
    """Yield a figure and its panels [rows, columns]; write it to each output (.png, .svg) afterwards."""
    import matplotlib

    for path in outputs:
        if path.suffix not in FORMATS:
            raise InputError(f"{path}: a figure is written as {' or '.join(FORMATS)}; name such a file.")
    matplotlib.use("agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(LOOK):
        figure, panels = pyplot.subplots(rows, columns, squeeze=False, layout="constrained", **size)
        try:
            yield figure, panels
            _write_plain_powers(figure)
            for path in outputs:
                form = path.suffix[1:]
                with replacing(path) as beside:
                    figure.savefig(beside, format=form, metadata={"Date": None} if form == "svg" else None)
        finally:
            pyplot.close(figure)


def _write_plain_powers(figure: Any) -> None:
    """Label logarithmic axes 0.01, 0.1, 1: their own labels are formulas, which `LOOK` does not set."""
    from matplotlib.ticker import LogFormatter, LogFormatterMathtext

    for axis in (axis for panel in figure.axes for axis in (panel.xaxis, panel.yaxis)):
        if isinstance(axis.get_major_formatter(), LogFormatterMathtext):
            axis.set_major_formatter(lambda value, _: f"{value:g}")
        if isinstance(axis.get_minor_formatter(), LogFormatterMathtext):
            axis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
