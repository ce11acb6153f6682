"""A table for people: Markdown, LaTeX and HTML from its rows, with what is needed to read it below."""

import html
from collections.abc import Callable
from typing import Any

import pandas as pd

from condense.config.metrics import METRICS
from condense.reporting.footnotes import footnotes

EMPTY = "–"
KEYS = ("method", "generator", "budget", "metric")
LATEX = {"\\": r"\textbackslash{}", "–": "--", "±": r"$\pm$", "−": "$-$", "κ": r"$\kappa$", "Δ": r"$\Delta$"}
LATEX |= {sign: f"\\{sign}" for sign in "&%$#_{}"} | {"~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}


class Sheet:
    """Cells of a table in rows and columns; a column has a part for measured values, and for others."""

    def __init__(
        self, told: dict[str, Any], table: pd.DataFrame, runs: pd.DataFrame | None, total: int | None
    ) -> None:
        """Take the layout, the table's rows, the scores they come from and the number of all images."""
        self.told, self.records = told, table.to_dict("records")
        self.kinds = ("measured", "published", "difference") if told["published"] else ("measured",)
        self.cells = {(self._place(row, "rows"), self._place(row, "columns")): row for row in self.records}
        self.lines = [*dict.fromkeys(line for line, _ in self.cells)]
        self.columns = [*dict.fromkeys(column for _, column in self.cells)]
        self.best = self._best()
        self.notes = footnotes(told, self.records, runs, total)

    def markdown(self) -> str:
        """Markdown with the best of each metric in bold."""
        heads = [key.capitalize() for key in self.told["rows"]]
        heads += [_joined(_head(column), kind, self.kinds) for column in self.columns for kind in self.kinds]
        rules = ["---"] * len(self.told["rows"]) + ["---:"] * (len(heads) - len(self.told["rows"]))
        body = self._body(lambda text, best: f"**{text}**" if best else text, _plain)
        lines = [f"| {' | '.join(line)} |" for line in [heads, rules, *body]]
        notes = [f"- {_plain(note)}" for note in self.notes]
        return "\n".join([f"# {self.told['name']}", "", self.caption(), "", *lines, "", *notes, ""])

    def latex(self) -> str:
        """A table environment for LaTeX, to be used with the package booktabs."""
        width, labels = len(self.kinds), len(self.told["rows"])
        heads = [_escaped(key.capitalize()) for key in self.told["rows"]]
        groups = [f"\\multicolumn{{{width}}}{{c}}{{{_escaped(_head(column))}}}" for column in self.columns]
        top = [" & ".join([*heads, *groups]) + r" \\"]
        if width > 1:
            starts = [labels + 1 + i * width for i in range(len(self.columns))]
            rules = " ".join(f"\\cmidrule(lr){{{start}-{start + width - 1}}}" for start in starts)
            top += [rules, " & ".join([*[""] * labels, *self.kinds * len(self.columns)]) + r" \\"]
        body = self._body(lambda text, best: f"\\textbf{{{text}}}" if best else text, _escaped)
        notes = [f"\\item {_escaped(note)}" for note in self.notes]
        return "\n".join(
            [
                "% needs \\usepackage{booktabs}",
                "\\begin{table}[t]",
                "\\centering\\footnotesize\\setlength{\\tabcolsep}{3pt}",
                f"\\caption{{{_escaped(self.caption())}}}\\label{{tab:{self.told['name']}}}",
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
        groups = [f"<th colspan={len(self.kinds)}>{html.escape(_head(column))}" for column in self.columns]
        several = len(self.kinds) > 1
        heads = [f"<th rowspan={1 + several}>{key.capitalize()}" for key in self.told["rows"]]
        kinds = [f"<tr>{''.join(f'<th>{kind}' for kind in self.kinds * len(self.columns))}"] * several
        body = self._body(lambda text, best: f"<b>{text}</b>" if best else text, html.escape)
        lines = [f"<tr>{''.join(f'<td>{text}' for text in line)}" for line in body]
        notes = [f"<li>{html.escape(note)}" for note in self.notes]
        title = html.escape(self.told["name"])
        return "\n".join(
            [
                f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title>{STYLE}',
                f"<h1>{title}</h1><p>{html.escape(self.caption())}</p><table>",
                f"<tr>{''.join([*heads, *groups])}",
                *kinds,
                *lines,
                "</table><ul>",
                *notes,
                "</ul></html>",
                "",
            ]
        )

    def caption(self) -> str:
        """The table's caption and the keys that have one value."""
        shown = {*self.told["rows"], *self.told["columns"]}
        single = []
        for key in KEYS:
            values = {row[key] for row in self.records}
            if key not in shown and len(values) == 1:
                single.append(_label(key, values.pop()) if key == "metric" else f"{key} {values.pop()}")
        parts = [self.told["caption"].rstrip("."), ", ".join(single)]
        return ". ".join(part[0].upper() + part[1:] for part in parts if part) + "."

    def _place(self, row: dict[str, Any], side: str) -> tuple[str, ...]:
        return tuple(_label(key, row[key]) for key in self.told[side])

    def _body(self, emphasise: Callable[[str, bool], str], escape: Callable[[str], str]) -> list[list[str]]:
        """Texts of each line: labels, then the parts of each column."""
        lines = []
        for line in self.lines:
            texts = [escape(label) for label in line]
            for column in self.columns:
                row = self.cells.get((line, column))
                for kind in self.kinds:
                    best = kind == "measured" and (line, column) in self.best
                    texts.append(emphasise(escape(printed(row, kind)), best))
            lines.append(texts)
        return lines

    def _best(self) -> set[tuple[tuple[str, ...], tuple[str, ...]]]:
        """Places of the best measured values, as printed: of a column, or of a line that a metric makes."""
        groups: dict[tuple, list] = {}
        for (line, column), row in self.cells.items():
            if pd.notna(row["mean"]) and METRICS[row["metric"]].better:
                along = line if "metric" in self.told["rows"] else column
                groups.setdefault((along, row["metric"]), []).append(((line, column), row))
        best = set()
        for (_, name), found in groups.items():
            metric = METRICS[name]
            values = [round(row["mean"], metric.digits) * metric.better for _, row in found]
            if min(values) < max(values):
                places = [place for place, _ in found]
                best |= {place for place, value in zip(places, values, strict=True) if value == max(values)}
        return best


def printed(row: dict[str, Any] | None, kind: str) -> str:
    """One value of a cell as it is printed; a dash where there is none."""
    if row is None:
        return EMPTY
    digits = METRICS[row["metric"]].digits
    value = row["mean" if kind == "measured" else kind]
    if pd.isna(value):
        return EMPTY
    if kind == "difference":
        return f"{value:+.{digits}f}".replace("-", "−")
    deviation = f" ± {row['std']:.{digits}f}" if kind == "measured" and pd.notna(row["std"]) else ""
    return f"{value:.{digits}f}{deviation}"


def _label(key: str, value: str) -> str:
    return METRICS[value].label if key == "metric" else str(value)


def _head(column: tuple[str, ...]) -> str:
    return " ".join(column)


def _joined(head: str, kind: str, kinds: tuple[str, ...]) -> str:
    """Heading of one part of a column."""
    return head or kind if kind == kinds[0] else f"{head} {kind}".strip()


def _plain(text: str) -> str:
    """Text in which Markdown sees no markup."""
    return text.replace("|", "\\|")


def _escaped(text: str) -> str:
    """Text for LaTeX."""
    return "".join(LATEX.get(sign, sign) for sign in text)


STYLE = """<style>body{font:14px/1.5 sans-serif;max-width:72em;margin:2em auto;padding:0 1em}
table{border-collapse:collapse}td,th{padding:.2em .5em;text-align:right;border-bottom:1px solid #ddd}
td:first-child,tr:first-child th:first-child{text-align:left}th{border-bottom:2px solid}ul{color:#444}
</style>"""
