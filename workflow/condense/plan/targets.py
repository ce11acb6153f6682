"""What people ask for: tables, figures, cards and the report."""

from collections.abc import Iterable, Sequence

from condense.config.learners import Kind
from condense.config.methods import Gadc, Nothing
from condense.config.study import Study
from condense.config.synthesis import Synthesis
from condense.plan.files import Files
from condense.plan.layout import runs

# by kind of learner: a comparison's tables, and figures of all its runs together
COMPARED: dict[Kind, tuple[str, ...]] = {
    "generator": ("fid", "scores"),
    "student": ("accuracy", "accuracies"),
    "judge": (),  # stands in tables of the config alone
}
FIGURES: dict[Kind, tuple[str, ...]] = {
    "generator": ("losses", "distances"),
    "student": ("learning",),
    "judge": (),
}


class Targets:
    """Results of a study that people look at."""

    def __init__(self, study: Study, files: Files) -> None:
        self.study = study
        self.files = files

    def tables(self) -> list[str]:
        """Every table of numbers."""
        paths = [
            f"results/{table}_{budget}.csv"
            for budget in self.study.comparisons
            for kind, tables in COMPARED.items()
            for table in tables
            if self.study.rows(budget, kind)
        ]
        paths += [f"results/tables/{name}.csv" for name in self.study.tables]
        paths += [f"results/agreement/{name}.csv" for name, its in self.study.tables.items() if its.judged]
        return paths + ["results/subsets.csv"] * bool(self.study.subsets)

    def cards(self) -> list[str]:
        """Model cards of the comparisons' trained generators."""
        pattern = "results/cards/{generator}/{method}/{budget}/seed{seed}.md"
        return self._of_runs(self.study.comparisons, pattern, trained=True)

    def shown(self, budget: str = "") -> list[str]:
        """Tables and figures of one comparison, or of all of them with all that the study shows besides."""
        budgets = [budget] if budget else [*self.study.comparisons]
        kinds = [(b, kind) for b in budgets for kind in COMPARED if self.study.rows(b, kind)]
        paths = ["results/config.yaml", *(f"results/{COMPARED[kind][0]}_{b}.csv" for b, kind in kinds)]
        paths += [f"results/figures/{figure}_{b}.png" for b, kind in kinds for figure in FIGURES[kind]]
        paths += [f"results/figures/objective_{b}.png" for b in budgets if self.condensed(b)]
        paths += [
            f"results/figures/methods/{generator}/{b}.png"
            for b in budgets
            for generator in self.study.comparisons[b].generators
        ]
        run = "{generator}/{method}/{budget}/seed{seed}.png"
        paths += self._of_runs(budgets, f"results/figures/samples/{run}")
        paths += self._of_runs(budgets, f"results/figures/pairs/{run}", trained=True)
        confusion = "results/figures/confusion/{student}/{method}/{budget}/seed{seed}.png"
        paths += self._of_runs(budgets, confusion, "student")
        return [*paths, *self._tables_of(budget)] if budget else [*paths, *self._beyond()]

    def condensed(self, budget: str) -> list[str]:
        """Diagnostics of a comparison's methods that minimise an objective, of the first seed alone."""
        return [
            f"results/diagnostics/{self.files.method(method, self.study.seeds[0])}/{budget}.csv"
            for method in self.study.comparisons[budget].methods
            if isinstance(self.study.methods[method], Gadc)
        ]

    def occupancies(self) -> list[str]:
        """Cells that the sets of the comparisons occupy, in the space of the first made one; of one seed."""
        made = [its.generator for its in self.study.methods.values() if isinstance(its, Synthesis)]
        place = f"{self.files.space(made[0])}/{self.study.generators[made[0]].resolution}" if made else ""
        return [
            f"results/occupancy/{place}/{self.files.method(method, self.study.seeds[0])}/{budget}.csv"
            for budget, comparison in self.study.comparisons.items()
            for method in comparison.methods
            if made and not self.study.methods[method].budget
        ]

    def of_subsets(self, pattern: str, seeds: Sequence[int]) -> list[str]:
        """Files of the subsets of `results/subsets.csv` in the replicates of some seeds, each once."""
        if not self.study.subsets:
            return []
        paths = [
            pattern.format(method=self.files.method(method, seed), budget=budget)
            for budget in self.study.subsets.budgets
            for method in self.study.subsets.methods
            for seed in seeds
        ]
        return [*dict.fromkeys(paths)]

    def _of_runs(
        self, budgets: Iterable[str], pattern: str, kind: Kind = "generator", trained: bool = False
    ) -> list[str]:
        """Files of every run of some comparisons, each once; of those `trained` on images alone."""
        runs = [run for budget in budgets for run in self.study.rows(budget, kind)]
        if trained:
            runs = [run for run in runs if not isinstance(self.study.methods[run.method], Nothing)]
        return [*dict.fromkeys(self.files.of_runs(runs, pattern))]

    def _tables_of(self, budget: str) -> list[str]:
        """Tables that show runs of one comparison alone."""
        own = {run for kind in COMPARED for run in self.study.rows(budget, kind)}
        shown = [name for name in self.study.tables if {*runs(self.study, name)} <= own]
        return [f"results/tables/{name}.html" for name in shown]

    def _beyond(self) -> list[str]:
        """Tables and figures that belong to no comparison."""
        paths = ["results/provenance.html"]
        paths += [f"results/tables/{name}.html" for name in self.study.tables]
        paths += [f"results/agreement/{name}.html" for name, its in self.study.tables.items() if its.judged]
        paths += [
            f"results/figures/{its.drawn}/{name}.png" for name, its in self.study.tables.items() if its.plot
        ]
        if self.study.subsets:
            paths.append("results/subsets.csv")
            for figure in ("chosen", "map"):
                pattern = f"results/figures/{figure}/{{method}}/{{budget}}.png"
                paths += self.of_subsets(pattern, self.study.seeds[:1])
        return paths
