"""A study that asks for no table has its comparisons as tables."""

import pytest
import yaml

from condense.plan.layout import table_layout
from condense.plan.plan import Plan
from condense.reporting.layout import TableLayout
from sources import ROOT


@pytest.fixture
def config() -> dict:
    config = yaml.safe_load((ROOT / "examples/digits-students/config.yaml").read_text())
    return config | {"tables": {}}


def test_comparisons_become_tables_where_there_are_none(config: dict) -> None:
    plan = Plan(config)
    assert plan.written.tables == {}, "the complete config says what was asked for"
    for budget, comparison in config["comparisons"].items():
        table = plan.study.tables[f"accuracy_{budget}"]
        assert table.students == comparison["students"] and table.budgets == [budget]
        assert table.metrics == ["accuracy", "last_accuracy"]
    layout = table_layout(plan.study, f"accuracy_{budget}")
    assert TableLayout.from_json(layout.to_json()) == layout
    assert f"results/tables/accuracy_{budget}.html" in plan.targets.shown(budget)
    assert f"results/tables/accuracy_{budget}.csv" in plan.targets.tables()


def test_generators_and_students_have_a_table_each_with_a_line_for_each_of_several(config: dict) -> None:
    digits = yaml.safe_load((ROOT / "examples/digits/config.yaml").read_text())
    study = Plan(digits | {"tables": {}}).study
    assert [*study.tables] == ["fid_100"] and study.tables["fid_100"].rows == ["generator", "method"]
    assert {"none", "full"} & {study.methods[name].kind for name in study.tables["fid_100"].methods}


def test_tables_that_are_asked_for_are_the_only_ones() -> None:
    config = yaml.safe_load((ROOT / "tests/tiny/config.yaml").read_text())
    plan = Plan(config)
    assert [*plan.study.tables] == [*config["tables"]]
    shown = plan.targets.shown("6")
    assert "results/tables/main.html" in shown and "results/tables/iterations.html" not in shown
