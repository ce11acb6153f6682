# The study of the folder that Snakemake works in: its config.yaml, its results/.
#
# results/{artefact}/{names, broad to narrow}.{ext}; every name is a key of the config.
#
#   index/{shard}.csv                                   the images of some classes       (index.csv: all)
#   encoders/{encoder}.safetensors                      network, preprocessing and head
#   embeddings/{encoder}/{shard}.h5                     features, one group per class
#   probabilities/{encoder}/{shard}.h5                  log-probabilities, one group per class
#   margins/{encoder}.h5, difficulty/{method}/{shard}.h5    scores of the images, for methods that rank by them
#   selections/{method}/{budget}/{shard}.csv            chosen or made images of some classes
#   synthesised/{method}/{budget}/{shard}/{class}/      made images (PNG)
#   subsets/{method}/{budget}.csv                       chosen or made images of all classes
#   embeddings/{encoder}/validation.h5, appraisals/{judge}/{method}/{budget}/seed{seed}.csv      beside held-out images
#   confusion/{reference}/{student}/{method}/{budget}/seed{seed}/{shard}.h5    of real images, by students of made ones
#   dope_trigger/{reference}/{student}/{method}/seed{seed}.csv    whether more made images would pay; on demand
#   occupancy/{space}/{resolution}/{method}/{budget}.csv    cells that a set occupies; on demand, as figures/occupancy.png
#   moments/{encoder}.h5, measures/{method}/{budget}.csv          rows of subsets.csv
#   latents/{space}/{resolution}/{method}/{budget}.h5   the same, as a generator sees them
#   captions/{text_encoder}.h5                          of each class, for recipes that have them
#   patches/{encoder}/{resolution}/{method}/{budget}.h5 features to align to, likewise
#   generators/{generator}/{method}/{budget}/seed{seed}.safetensors
#   samples/{generator}/{method}/{budget}/seed{seed}/{part}.npz   temporary; on demand seed{seed}.npz
#   features/{generator}/{method}/{budget}/seed{seed}.h5          of the samples, by the detector
#   references/{resolution}/{shard}.h5                            of the study's images, by the detector
#   scores/{generator}/{method}/{budget}/seed{seed}.csv
#   validation_index.csv                                the images that students are examined on
#   labels/{student}/{method}/{budget}/seed{seed}.safetensors     soft ones, where teachers see each image once
#   students/{student}/{method}/{budget}/seed{seed}.safetensors   after the best and the last epoch
#   accuracies/{student}/{method}/{budget}/seed{seed}.csv         and who is taken for whom
#   accuracy_{budget}.csv, fid_{budget}.csv, subsets.csv, tables/{table}.{csv,md,tex,html}, agreement/{table}.{csv,md,html}, figures/, cards/, provenance.html, reproduce.md, report.zip   for people
#   config.yaml                                                   every setting of the study, defaults included

import json
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# where the workflow is on a git host, an installed package is taken
sys.path.insert(
    0, workflow.current_basedir.join("workflow").get_path_or_uri(secret_free=True)
)

from condense.base.errors import InputError
from condense.base.storage import require_writable
from condense.config.document import read_config
from condense.plan.plan import Plan, environment

place = (
    workflow.modifier.path_modifier.replace_prefix
)  # of another workflow that uses this one as a module

try:
    require_writable(Path.cwd())
    if Path("config.yaml").is_file() and not workflow.modifier.skip_configfile:
        read_config(
            Path("config.yaml")
        )  # names the line of a fault, which Snakemake does not
except InputError as error:
    raise WorkflowError(str(error))


configfile: "config.yaml"


report: "workflow/report/workflow.rst"


onstart:
    # Snakemake 9.27 looks for jobs again a second after each look, and whatever finishes begins another such
    # series: after a thousand jobs a thousand times a second, which takes a core. A limit of one's own is kept.
    limit = workflow.scheduling_settings.max_jobs_per_timespan
    if limit and (limit.max_jobs, limit.timespan) == (100, 1):
        workflow.scheduler.job_rate_limiter = None


try:
    PLAN = Plan(config, place)
except InputError as error:
    raise WorkflowError(str(error))

code = PLAN.code

shell.prefix(environment(PLAN.study.arithmetic))


wildcard_constraints:
    encoder=PLAN.names("encoders"),
    method=PLAN.names("methods"),
    generator=PLAN.names("generators"),
    student=PLAN.names("students"),
    judge=PLAN.names("encoders"),
    budget=PLAN.names("budgets"),
    space=PLAN.names("spaces"),
    table=PLAN.names("tables"),
    text_encoder=PLAN.names("text_encoders"),
    resolution=r"\d+",
    seed=r"\d+",
    which=f"|_({PLAN.names('comparisons')})",


localrules:
    all,
    tables,
    report,
    merge_index,
    validation_index,
    merge_subset,
    merge_measures,
    accuracies,
    table,
    tabulate,
    agreement,
    fetch_inception,
    record_config,


scattergather:
    classes=PLAN.study.shards,
    images=PLAN.study.sample_shards,


rule all:
    input:
        "results/report.zip",
        PLAN.targets.cards(),


rule tables:
    input:
        PLAN.targets.tables(),
        "results/config.yaml",


rule report:
    input:
        "results/report.zip",


include: "workflow/rules/index.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/classify.smk"
include: "workflow/rules/difficulty.smk"
include: "workflow/rules/select.smk"
include: "workflow/rules/synthesise.smk"
include: "workflow/rules/dope.smk"
include: "workflow/rules/groups.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/latents.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/generate.smk"
include: "workflow/rules/score.smk"
include: "workflow/rules/learn.smk"
include: "workflow/rules/tables.smk"
include: "workflow/rules/figures.smk"
include: "workflow/rules/report.smk"
