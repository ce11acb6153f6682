"""Tables of a study that asks for none: each of its comparisons, with everything below that a table has."""

from collections.abc import Iterator

from condense.config.crossing import Table
from condense.config.study import Study
from condense.reporting.learners import PRESENTATIONS

NAMES = {"generator": "fid", "student": "accuracy"}  # as of results/{name}_{budget}.csv


def with_tables(study: Study) -> Study:
    """The study, with its comparisons as tables where its config has no table."""
    return study if study.tables else study.model_copy(update={"tables": dict(_tables(study))})


def _tables(study: Study) -> Iterator[tuple[str, Table]]:
    """Name and table of each comparison of one kind of learner."""
    for budget in study.comparisons:
        for kind, name in NAMES.items():
            rows = study.rows(budget, kind)
            learners = [*dict.fromkeys(run.learner.name for run in rows)]
            if rows:
                yield (
                    f"{name}_{budget}",
                    Table(
                        caption="By the method whose images were trained on",
                        rows=[*([kind] if len(learners) > 1 else []), "method"],
                        methods=[*dict.fromkeys(run.method for run in rows)],
                        budgets=[budget],
                        metrics=[*PRESENTATIONS[kind].compared],
                        **{f"{kind}s": learners},
                    ),
                )
