"""A table for people: Markdown, LaTeX and HTML from its rows, with what is needed to read it below."""

import html
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from condense.config.learners import KINDS
from condense.config.metrics import METRICS
from condense.reporting.footnotes import footnotes
from condense.reporting.layout import TableLayout

EMPTY = "–"
KEYS = ("method", *KINDS, "budget", "metric")
LATEX = {"\\": r"\textbackslash{}", "–": "--", "±": r"$\pm$", "−": "$-$", "κ": r"$\kappa$", "Δ": r"$\Delta$"}
LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


class Sheet:
    """Cells of a table in rows and columns; a column has a part for measured values, and for others."""

    def __init__(
        self, layout: TableLayout, table: pd.DataFrame, scores: pd.DataFrame | None, total: int | None
    ) -> None:
        """Take the layout, the table as it is written, its scores, and the number of all images."""
        self.layout = layout
        self.records = table.to_dict("records")
        self.parts = ("measured", "published", "difference") if layout.published else ("measured",)
        self.cells = {
            (_place(record, layout.rows), _place(record, layout.columns)): record for record in self.records
        }
        self.lines = [*dict.fromkeys(line for line, _ in self.cells)]
        self.columns = [*dict.fromkeys(column for _, column in self.cells)]
        self.best = self._best()
        self.notes = footnotes(layout, self.records, scores, total)

    def markdown(self) -> str:
        """Markdown with the best of each metric in bold."""
        heads = [key.capitalize() for key in self.layout.rows]
        heads += [_joined(_head(column), part, self.parts) for column in self.columns for part in self.parts]
        rules = ["---"] * len(self.layout.rows) + ["---:"] * (len(heads) - len(self.layout.rows))
        body = self._body(lambda text, best: f"**{text}**" if best else text, _plain)
        lines = [f"| {' | '.join(line)} |" for line in [heads, rules, *body]]
        notes = [f"- {_plain(note)}" for note in self.notes]
        return "\n".join([f"# {self.layout.name}", "", self.caption(), "", *lines, "", *notes, ""])

    def latex(self) -> str:
        """A table environment for LaTeX, to be used with the package booktabs."""
        width = len(self.parts)
        labels = len(self.layout.rows)
        heads = [_escaped(key.capitalize()) for key in self.layout.rows]
        groups = [f"\\multicolumn{{{width}}}{{c}}{{{_escaped(_head(column))}}}" for column in self.columns]
        top = [" & ".join([*heads, *groups]) + r" \\"]
        if width > 1:
            starts = [labels + 1 + i * width for i in range(len(self.columns))]
            rules = " ".join(f"\\cmidrule(lr){{{start}-{start + width - 1}}}" for start in starts)
            top += [rules, " & ".join([*[""] * labels, *self.parts * len(self.columns)]) + r" \\"]
        body = self._body(lambda text, best: f"\\textbf{{{text}}}" if best else text, _escaped)
        notes = [f"\\item {_escaped(note)}" for note in self.notes]
        return "\n".join(
            [
                "% needs \\usepackage{booktabs}",
                "\\begin{table}[t]",
                "\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}",
                f"\\caption{{{_escaped(self.caption())}}}\\label{{tab:{self.layout.name}}}",
                f"\\begin{{tabular}}{{{'l' * labels}{'r' * width * len(self.columns)}}}",
                "\\toprule",
                *top,
                "\\midrule",
                *(" & ".join(line) + r" \\" for line in body),
                "\\bottomrule",
                "\\end{tabular}",
                "\\begin{itemize}\\setlength{\\itemsep}{0pt}\\scriptsize",
                *notes,
                "\\end{itemize}",
                "\\end{table}",
                "",
            ]
        )

    def html(self) -> str:
        """A page of its own."""
        groups = [f"<th colspan={len(self.parts)}>{html.escape(_head(column))}" for column in self.columns]
        several = len(self.parts) > 1
        heads = [f"<th rowspan={1 + several}>{key.capitalize()}" for key in self.layout.rows]
        parts = [f"<tr>{''.join(f'<th>{part}' for part in self.parts * len(self.columns))}"] * several
        body = self._body(lambda text, best: f"<b>{text}</b>" if best else text, html.escape)
        lines = [f"<tr>{''.join(f'<td>{text}' for text in line)}" for line in body]
        notes = [f"<li>{html.escape(note)}" for note in self.notes]
        title = f"<h1>{html.escape(self.layout.name)}</h1><p>{html.escape(self.caption())}</p><table>"
        top = [title, f"<tr>{''.join([*heads, *groups])}"]
        return html_page(self.layout.name, [*top, *parts, *lines, "</table><ul>", *notes, "</ul>"])

    def caption(self) -> str:
        """The table's caption and the keys that have one value."""
        single = []
        for key in KEYS:
            values = {_label(key, record.get(key)) for record in self.records}
            if key not in self.layout.shown and len(values) == 1 and (value := values.pop()):
                single.append(value if key == "metric" else f"{key} {value}")
        sentences = [self.layout.caption.rstrip("."), ", ".join(single)]
        return ". ".join(text[0].upper() + text[1:] for text in sentences if text) + "."

    def _body(self, emphasise: Callable[[str, bool], str], escape: Callable[[str], str]) -> list[list[str]]:
        """Texts of each line: labels, then the parts of each column."""
        lines = []
        for line in self.lines:
            texts = [escape(label) for label in line]
            for column in self.columns:
                record = self.cells.get((line, column))
                for part in self.parts:
                    best = part == "measured" and (line, column) in self.best
                    texts.append(emphasise(escape(printed(record, part)), best))
            lines.append(texts)
        return lines

    def _best(self) -> set[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Places of the best measured values, as printed: of a column, or of a line that a metric makes."""
        groups: dict[tuple, list] = {}
        for (line, column), record in self.cells.items():
            if pd.notna(record["mean"]) and METRICS[record["metric"]].better:
                along = line if "metric" in self.layout.rows else column
                groups.setdefault((along, record["metric"]), []).append(((line, column), record))
        best = set()
        for (_, name), found in groups.items():
            metric = METRICS[name]
            values = [round(record["mean"], metric.digits) * metric.better for _, record in found]
            if min(values) < max(values):
                places = [place for place, _ in found]
                best |= {place for place, value in zip(places, values, strict=True) if value == max(values)}
        return best


def printed(record: dict[str, Any] | None, part: str) -> str:
    """One value of a cell as it is printed; a dash where there is none."""
    if record is None:
        return EMPTY
    digits = METRICS[record["metric"]].digits
    name, spread = ("mean", "std") if part == "measured" else (part, f"{part}_std")
    value = record[name]
    if pd.isna(value):
        return EMPTY
    if part == "difference":
        return f"{value:+.{digits}f}".replace("-", "−")
    deviation = f" ± {record[spread]:.{digits}f}" if pd.notna(record[spread]) else ""
    return f"{value:.{digits}f}{deviation}"


def _place(record: dict[str, Any], keys: tuple[str, ...]) -> tuple[str, ...]:
    """Labels of a record, by which its cell is found."""
    return tuple(_label(key, record.get(key)) for key in keys)


def _label(key: str, value: Any) -> str:
    """Text of a key's value; none where a record has no such key: a student's has no generator."""
    if pd.isna(value):
        return ""
    return METRICS[value].label if key == "metric" else str(value)


def _head(column: tuple[str, ...]) -> str:
    return " ".join(label for label in column if label)


def _joined(head: str, part: str, parts: tuple[str, ...]) -> str:
    """Heading of one part of a column."""
    return head or part if part == parts[0] else f"{head} {part}".strip()


def _plain(text: str) -> str:
    """Text in which Markdown sees no markup."""
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    """Text for LaTeX."""
    return "".join(LATEX.get(sign, sign) for sign in text)


def html_page(title: str, lines: Iterable[str]) -> str:
    """A page of its own of lines of HTML."""
    head = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{html.escape(title)}</title>{STYLE}'
    return "\n".join([head, "<article>", *lines, "</article></html>", ""])


# of what a page shows alone: the report takes tables into a page of its own
STYLE = """<style>article{font:14px/1.5 sans-serif;max-width:72em;margin:2em auto;padding:0 1em}
article h1:first-child{font-size:1.3em;margin:1em 0 0}
article table{border-collapse:collapse}
article :is(td,th){padding:.2em .5em;text-align:right;border-bottom:1px solid #ddd}
article :is(td:first-child,tr:first-child th:first-child){text-align:left;padding-left:0}
article th{border-bottom:2px solid}article ul{color:#444}
</style>"""
