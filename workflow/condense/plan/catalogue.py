"""Files of a study: those of its runs, and the tables and figures that people look at."""

from pathlib import Path

from condense.config.learners import Kind, Run
from condense.config.methods import Gadc, Nothing
from condense.config.study import Study
from condense.plan import layout

SCORES: dict[Kind, str] = {"generator": "results/scores/{generator}/{method}/{budget}/seed{seed}.csv"}


class Catalogue:
    """Paths of a study's results, as the rules ask for them."""

    def __init__(self, study: Study) -> None:
        self.study = study

    def trained(self, generator: str) -> str:
        """The generator whose training a generator's weights come from."""
        borrowed = self.study.generators[generator].weights
        return borrowed.generator if borrowed else generator

    def weights(self, generator: str, method: str, budget: str, seed: str) -> str:
        """File of a generator's weights: the end of a training, or a milestone on its way."""
        borrowed = self.study.generators[generator].weights
        path = f"results/generators/{self.trained(generator)}/{method}/{budget}/seed{seed}"
        if borrowed is None or borrowed.step is None or isinstance(self.study.methods[method], Nothing):
            return f"{path}.safetensors"
        return f"{path}.milestones/step_{borrowed.step:09d}.safetensors"

    def weights_input(self, generator: str, method: str, budget: str, seed: str) -> str:
        """What a job waits for to have them: a milestone is known to Snakemake by its folder."""
        path = Path(self.weights(generator, method, budget, seed))
        return str(path.parent if path.parent.suffix == ".milestones" else path)

    def histories(self, budget: str) -> list[str]:
        """Histories of the trainings behind a comparison, each once."""
        end = "seed{seed}.history.jsonl"
        return [
            *dict.fromkeys(
                f"results/generators/{self.trained(run.learner.name)}/{run.method}/{run.budget}"
                f"/{end.format(seed=seed)}"
                for run in self.study.rows(budget)
                for seed in self.study.seeds
            )
        ]

    def runs(self, budget: str, pattern: str) -> list[str]:
        """Paths of a per-run artefact for every row and seed of a comparison."""
        return self._of_runs(self.study.rows(budget), pattern)

    def subsets(self, pattern: str) -> list[str]:
        """Paths of an artefact for every row of `results/subsets.csv`."""
        if not self.study.subsets:
            return []
        return [
            pattern.format(method=method, budget=budget)
            for budget in self.study.subsets.budgets
            for method in self.study.subsets.methods
        ]

    def tabled(self, name: str) -> list[str]:
        """Paths of the scores of every run of a table."""
        runs = layout.runs(self.study, name)
        return [path for run in runs for path in self._of_runs([run], SCORES[run.learner.kind])]

    def _of_runs(self, runs: list[Run], pattern: str) -> list[str]:
        """Paths of a per-run artefact for every seed of some runs."""
        return [pattern.format(**run.names(), seed=seed) for run in runs for seed in self.study.seeds]

    def shown(self, budget: str = "") -> list[str]:
        """Tables and figures of one comparison, or of all of them with all that the study shows besides."""
        budgets = [budget] if budget else [*self.study.comparisons]
        figures = ("losses", "distances", *["objective"] * bool(self.condensed(budgets[0])))
        paths = [f"results/fid_{b}.csv" for b in budgets]
        paths += [f"results/figures/{figure}_{b}.png" for b in budgets for figure in figures]
        paths += [
            f"results/figures/methods/{generator}/{b}.png"
            for b in budgets
            for generator in self.study.comparisons[b].generators
        ]
        run = "{generator}/{method}/{budget}/seed{seed}.png"
        paths += self.runs_of(budgets, f"results/figures/samples/{run}")
        paths += self.trained_runs_of(budgets, f"results/figures/pairs/{run}")
        return paths if budget else [*paths, *self.beyond()]

    def beyond(self) -> list[str]:
        """Tables and figures that belong to no comparison."""
        paths = ["results/provenance.html"]
        paths += [f"results/tables/{name}.html" for name in self.study.tables]
        paths += [
            f"results/figures/tables/{name}.png" for name, table in self.study.tables.items() if table.plot
        ]
        if self.study.subsets:
            paths.append("results/subsets.csv")
            for figure in ("chosen", "map"):
                paths += self.subsets(f"results/figures/{figure}/{{method}}/{{budget}}.png")
        return paths

    def tables(self) -> list[str]:
        """Every table of numbers."""
        paths = [
            f"results/{kind}_{budget}.csv" for budget in self.study.comparisons for kind in ("fid", "scores")
        ]
        paths += [f"results/tables/{name}.csv" for name in self.study.tables]
        return paths + ["results/subsets.csv"] * bool(self.study.subsets)

    def cards(self) -> list[str]:
        """Model cards of the comparisons' trained generators."""
        pattern = "results/cards/{generator}/{method}/{budget}/seed{seed}.md"
        return self.trained_runs_of([*self.study.comparisons], pattern)

    def condensed(self, budget: str) -> list[str]:
        """Diagnostics of a comparison's methods that minimise an objective."""
        return [
            f"results/diagnostics/{method}/{budget}.csv"
            for method in self.study.comparisons[budget].methods
            if isinstance(self.study.methods[method], Gadc)
        ]

    def first_runs(self, budget: str, pattern: str, generator: str = "") -> list[str]:
        """Paths of a per-run artefact for the rows of a comparison, of the first seed alone."""
        return [
            pattern.format(**run.names(), seed=self.study.seeds[0])
            for run in self.study.rows(budget)
            if generator in ("", run.learner.name)
        ]

    def runs_of(self, budgets: list[str], pattern: str) -> list[str]:
        """Paths of a per-run artefact for every run of some comparisons, each once."""
        return [*dict.fromkeys(path for budget in budgets for path in self.runs(budget, pattern))]

    def trained_runs_of(self, budgets: list[str], pattern: str) -> list[str]:
        """Those of them with training images."""
        return [
            *dict.fromkeys(
                pattern.format(method=method, generator=generator, budget=own, seed=seed)
                for budget in budgets
                for method, generator, own in self.study.rows(budget)
                for seed in self.study.seeds
                if not isinstance(self.study.methods[method], Nothing)
            )
        ]
