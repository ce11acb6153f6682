# Inputs: the folder of images that the config names. Outputs: results/index/{shard}.csv, results/index.csv.
# Steps: list the images of each shard's classes; put the lists together.


rule index:
    """List the images of a shard's classes."""
    output:
        "results/index/{scatteritem}.csv",
    log:
        "logs/index/{scatteritem}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        options=PLAN.options.index(),
        listing=lambda wildcards: PLAN.listing(wildcards.scatteritem),
        code=code("images.index.index", *PLAN.unused()),
    shell:
        "exec python -m condense index {params.options} --shard {wildcards.scatteritem}"
        " --output {output} > {log} 2>&1"


rule merge_index:
    """Put the lists of all classes together."""
    input:
        gather.classes("results/index/{scatteritem}.csv"),
    output:
        "results/index.csv",
    log:
        "logs/merge_index.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("images.index.merge_index"),
    shell:
        "exec python -m condense merge-index {input} --output {output} > {log} 2>&1"
