"""A validated study as the Snakefile sees it: options and inputs of rules, targets, names."""

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from condense.base import digest
from condense.base.arithmetic import VARIABLE
from condense.base.errors import InputError
from condense.config import document, faults, published, study
from condense.config.doping import Doped
from condense.config.groups import Groups
from condense.config.methods import Gadc
from condense.config.objectives import OBJECTIVES
from condense.config.options import others
from condense.config.settings import Encoder, Images, Method, Sampling
from condense.config.synthesis import Synthesis
from condense.plan.files import Files
from condense.plan.own_tables import with_tables
from condense.plan.replicates import replicated
from condense.plan.rule_inputs import RuleInputs
from condense.plan.rule_options import RuleOptions
from condense.plan.targets import Targets
from condense.plan.words import named

NO_NAME = "(?!x)x"  # a constraint that matches nothing


def environment(arithmetic: str) -> str:
    """Shell prefix of every job: this package, run by Snakemake's Python unless an environment has one."""
    os.environ["PATH"] = os.pathsep.join(
        [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    )
    package = shlex.quote(str(Path(__file__).parents[2]))
    return f"export PYTHONPATH={package} {VARIABLE}={arithmetic}; "


class Plan:
    """`options.RULE(...)` and `inputs.RULE(...)` are those of a rule, `targets` what people ask for.

    `place` tells where a file of the study lies, seen from the folder that Snakemake works in.
    """

    def __init__(self, config: dict[str, Any], place: Callable[[str], str] = str) -> None:
        self.written = study.load(config)
        self.study = with_tables(replicated(self.written))
        if self.study.generators and (classes := self._classes()):
            faults.refuse(faults.balance(self.study, classes))
        files = Files(self.study, place)
        if self.study.students and self.names("made") != NO_NAME and files.made():
            raise InputError("students of made images need a study without a prefix: use the module so.")
        self.targets = Targets(self.study, files)
        self.options = RuleOptions(self.study, files)
        self.inputs = RuleInputs(self.study, files, self.targets)

    def names(self, kind: str) -> str:
        """Closed list of names as a wildcard constraint."""
        made, doped, grouped = (
            [name for name, method in self.study.methods.items() if isinstance(method, kind_of)]
            for kind_of in (Synthesis, Doped, Groups)
        )
        finetuned = [name for name, its in self.study.generators.items() if its.finetune]
        own = {
            "budgets": [*self.study.budgets, *study.OWN_BUDGETS],
            "spaces": ["pixels", *self.study.autoencoders],
            "finetuned": finetuned,
            "trained": [name for name in self.study.generators if name not in finetuned],
            "made": made,
            "doped": doped,
            "grouped": grouped,
            "chosen": [name for name in self.study.methods if name not in (*made, *doped, *grouped)],
        }
        names = own[kind] if kind in own else getattr(self.study, kind)
        return "|".join(name.replace(".", r"\.") for name in names) or NO_NAME

    def code(self, start: str, *unused: str) -> str:
        """Digest of the code of a job, and of the arithmetic where it is not the one of every machine."""
        native = self.study.arithmetic == "native"
        return digest.code(start, *unused) + " native" * native

    def unused(
        self, encoder: str = "", method: str = "", generator: str = "", ranking: str = ""
    ) -> list[str]:
        """Words that a job's settings rule out: what the code keeps for them is not part of its digest.

        `ranking` is a method whose generator ranks the images.
        """
        words = others(Images, "source", self.study.images.source)
        if ranking:
            generator = self.study.methods[ranking].generator
        if encoder:
            words |= others(Encoder, "kind", self.study.encoders[encoder].kind)
        if method:
            words |= others(Method, "kind", self.study.methods[method].kind)
        if generator:
            chosen = self.study.generators[generator]
            words |= others(Sampling, "sampler", chosen.sampling.sampler)
            words |= {*OBJECTIVES} - {chosen.objective}
        return sorted(words)

    def listing(self, shard: str, validation: bool = False) -> str:
        """Fingerprint of the folders of a shard: an image added or removed makes its index anew."""
        from condense.images.index import fingerprint

        return fingerprint(self.study.images, shard, validation)

    def _classes(self) -> int:
        """Number of classes; 0 where the images are not there yet."""
        from condense.images.sources import source

        try:
            return len(source(self.study.images).classes())
        except (InputError, OSError):
            return 0

    def settings(self) -> str:
        """Digest of every setting, defaults included: another default makes the complete config anew."""
        return document.fingerprint(self.written)

    def published(self) -> str:
        """Digest of the published values, where the study prints them: corrected ones make tables anew."""
        return published.digest() if self.study.published else ""

    def selection_gpus(self, method: str) -> int:
        """GPUs that a selection can use: GADC's matrix products run on one, other methods on the CPU."""
        return int(isinstance(self.study.methods[method], Gadc))

    @staticmethod
    def flags(files: Mapping[str, str | list[str]], *without: str) -> str:
        """Named input files of a job as command-line options, repeated where a name stands for several."""
        return named(**{name: found for name, found in files.items() if name not in without})
