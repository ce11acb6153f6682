# Inputs: index and a generator, and what a way to make images looks at besides. Outputs: images in
# results/synthesised/{method}/{budget}/{shard}/ and, as of chosen ones, results/selections/{method}/{budget}/{shard}.csv
# with diagnostics. Steps: make images class by class; the state of an interrupted run is in results/state/synthesise.


rule synthesise:
    """Make the images of a shard's classes by a generator."""
    input:
        unpack(lambda wildcards: PLAN.inputs.synthesise(wildcards.method)),
        index="results/index/{scatteritem}.csv",
    output:
        subset="results/selections/{method}/{budget}/{scatteritem}.csv",
        diagnostics="results/selections/{method}/{budget}/{scatteritem}.diagnostics.csv",
        images=directory("results/synthesised/{method}/{budget}/{scatteritem}"),
    log:
        "logs/synthesise/{method}/{budget}/{scatteritem}.log",
    benchmark:
        "results/benchmarks/synthesise/{method}/{budget}/{scatteritem}.tsv"
    wildcard_constraints:
        method=PLAN.names("made"),
    conda:
        "../../envs/synthesise.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        inputs=lambda wildcards, input: PLAN.flags(input, "weights", "subset"),
        options=lambda wildcards: PLAN.options.synthesise(
            wildcards.method, wildcards.budget
        ),
        state=place("results/state/synthesise/{method}/{budget}/{scatteritem}"),
        references=place("results/state/references"),
        code=lambda wildcards: code(
            "synthesis.synthesise.synthesise", *PLAN.unused(method=wildcards.method)
        ),
    shell:
        "exec python -m condense --threads 1 synthesise {params.inputs} {params.options} --state {params.state}"
        " --references {params.references} --images {output.images} --output {output.subset}"
        " --diagnostics {output.diagnostics} > {log} 2>&1"
