"""Files that jobs of doping and of occupied cells depend on; a method is called as its rule."""

from condense.base.errors import InputError
from condense.config.methods import Everything
from condense.config.study import Study
from condense.plan.files import Files
from condense.plan.targets import Targets


class DopingInputs:
    """Inputs of each rule; a method takes the wildcards it needs as plain words."""

    study: Study
    files: Files
    targets: Targets

    def confusion(self, reference: str, student: str, budget: str, seed: str) -> dict[str, list[str]]:
        """Teachers of a student, where they are the reference."""
        return {"teacher": self.files.teachers(student, budget, seed)} if reference == "teacher" else {}

    def dope(self, method: str) -> dict[str, str | list[str]]:
        """The made set of a doped one, and how much its student confuses each real image."""
        chosen = self.study.methods[method]
        return {
            "made_subset": f"results/subsets/{chosen.made}/{chosen.made_budget}.csv",
            "confusion": self.files.confusion(
                chosen.reference, chosen.student, chosen.made, chosen.made_budget, str(chosen.student_seed)
            ),
        }

    def dope_trigger(self, reference: str, student: str, method: str, seed: str) -> list[str]:
        """How much a student confuses each real image, trained on made sets of every budget."""
        return [
            path
            for budget in self.study.budgets
            for path in self.files.confusion(reference, student, method, budget, seed)
        ]

    def occupancy(self, space: str, resolution: str) -> dict[str, str]:
        """Latents of all real images."""
        whole = next((name for name, its in self.study.methods.items() if isinstance(its, Everything)), None)
        if whole is None:
            raise InputError("config.yaml: methods has none of kind full; add one, to compare cells with.")
        return {"real": f"results/latents/{space}/{resolution}/{whole}/all.h5"}

    def plot_occupancy(self) -> list[str]:
        """Cells that the sets of all comparisons occupy which have a budget of the study, made and chosen."""
        return self.targets.occupancies()
