"""The report opens with the title and the tables of the study, and names only what is in it."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from docutils.core import publish_parts
from jinja2 import Environment

from sources import ROOT

TEMPLATE = (ROOT / "workflow/report/workflow.rst").read_text()


def opened(config: dict, categories: dict[str, list[str]]) -> str:
    """The first page of a report, as Snakemake makes it of its template."""
    named = {
        Category(name): {"": [SimpleNamespace(path=Path(path)) for path in paths]}
        for name, paths in categories.items()
    }
    rendered = Environment(trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE)
    text = rendered.render(snakemake=SimpleNamespace(config=config), categories=named, files={})
    settings = {"halt_level": 2}  # a warning of its markup is an error
    return publish_parts(text, writer_name="html", settings_overrides=settings)["html_body"]


class Category(str):
    """A part of a report, as Snakemake has it."""

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self)


def test_the_first_page_has_title_tables_and_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.html").write_text("<!doctype html><article><table><tr><td>3.43</table></article>")
    page = opened({"title": "Birds & more"}, {"Tables": ["results/x.csv", "t.html"], "Samples": ["a.png"]})
    assert '<h1 class="title">Birds &amp; more</h1>' in page
    assert "<td>3.43</table>" in page
    assert page.count("<li>") == 2 and "<em>Samples</em>: images that each generator drew" in page
    assert "Memorisation" not in page
    page = opened({}, {"Samples": ["a.png"], "Own": ["b.png"], "Tables": ["results/x.csv"]})
    assert page.index("<em>Tables") < page.index("<em>Samples") < page.index("<em>Own")


def test_a_study_without_title_or_tables_has_a_first_page_too() -> None:
    page = opened({}, {"Own": ["a.png"]})
    assert "A study of small image sets" in page and "<em>Own</em></" in page


def test_the_grid_stands_before_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.html").write_text("<table><tr><td>3.43</table>")
    (tmp_path / "g.svg").write_text("<svg><text>gadc</text></svg>")
    page = opened({}, {"All uses: the grid": ["g.png", "a.html"], "Tables": ["t.html"]})
    assert page.index("<svg><text>gadc") < page.index("<td>3.43")
