"""The page of every key of a config is current and leaves none out."""

from pathlib import Path

from commands import call
from condense.config.document import describe
from condense.config.settings_page import page, sections, settings_page
from sources import ROOT

PAGE = ROOT / "docs/config.md"


def test_the_page_is_that_of_the_settings(tmp_path: Path) -> None:
    call(settings_page, "--output", tmp_path / "page.md")
    assert PAGE.read_text() == (tmp_path / "page.md").read_text(), (
        "settings changed: run python -m condense settings-page --output docs/config.md"
    )


def test_every_part_of_the_schema_stands_on_it_once() -> None:
    schema = describe()
    found = [section["title"] for _, section, _, _ in sections(schema)]
    assert sorted(found) == sorted([*schema["$defs"], schema["title"]])


def test_a_key_has_its_values_default_and_meaning() -> None:
    text = page(describe())
    assert "| `resolution` | whole number > 0 | **needed** | Side of the images, in pixels. |" in text
    assert '| `epsilon_unit` | `absolute`, `median` | `"absolute"` |' in text
    assert "| `milestone_every` | whole number > 0 or none | none |" in text


def test_a_recipe_shows_what_it_changes_alone() -> None:
    _, _, rest = page(describe()).partition("## `students.NAME.training` with `recipe: minimax`")
    part = rest.partition("\n## ")[0]
    assert "those of `recipe: dc`, but for these" in part
    assert "| `batch` |" in part and "| `momentum` |" not in part
