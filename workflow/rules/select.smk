# Inputs: index, embeddings and probabilities. Outputs: results/selections/{method}/{budget}/{shard}.csv and
# results/subsets/{method}/{budget}.csv, each with diagnostics. Steps: choose images class by class; join.


rule select:
    """Choose the images of a shard's classes."""
    input:
        unpack(
            lambda wildcards: PLAN.inputs.select(
                wildcards.method, wildcards.scatteritem
            )
        ),
    output:
        subset="results/selections/{method}/{budget}/{scatteritem}.csv",
        diagnostics="results/selections/{method}/{budget}/{scatteritem}.diagnostics.csv",
    log:
        "logs/select/{method}/{budget}/{scatteritem}.log",
    benchmark:
        "results/benchmarks/select/{method}/{budget}/{scatteritem}.tsv"
    wildcard_constraints:
        method=PLAN.names("chosen"),
    conda:
        "../../envs/select.yaml"
    threads: 1
    resources:
        gpu=lambda wildcards: PLAN.selection_gpus(wildcards.method),
    params:
        inputs=lambda wildcards, input: PLAN.flags(input),
        options=lambda wildcards: PLAN.options.select(
            wildcards.method, wildcards.budget
        ),
        code=lambda wildcards: code(
            "selection.select.select", *PLAN.unused(method=wildcards.method)
        ),
    shell:
        "exec python -m condense --threads 1 select {params.inputs} {params.options}"
        " --output {output.subset} --diagnostics {output.diagnostics} > {log} 2>&1"


# A checkpoint: when a subset is there, Snakemake decides anew on the jobs that name it as an input, and leaves out those
# that were made from the same bytes. So whatever is made for a subset names it, also where it reads other files.
checkpoint merge_subset:
    """Put the chosen images of all classes together."""
    input:
        subsets=gather.classes(
            "results/selections/{{method}}/{{budget}}/{scatteritem}.csv"
        ),
        diagnostics=gather.classes(
            "results/selections/{{method}}/{{budget}}/{scatteritem}.diagnostics.csv"
        ),
    output:
        subset="results/subsets/{method}/{budget}.csv",
        diagnostics="results/diagnostics/{method}/{budget}.csv",
    log:
        "logs/merge_subset/{method}/{budget}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("images.subset.merge_subset"),
    shell:
        "exec python -m condense merge-subset {input.subsets} {input.diagnostics}"
        " --output {output.subset} --diagnostics {output.diagnostics} > {log} 2>&1"
