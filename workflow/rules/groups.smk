# Inputs: subsets that one method drew with several seeds, features of the real images. Outputs: of all shards at once,
# results/selections/{method}/{budget}/{shard}.csv with diagnostics, as of chosen images. Steps: choose one of the subsets
# for each class; classes are held against each other, so that one job looks at all of them.


rule choose_groups:
    """Choose one of several drawn groups of images for each class."""
    input:
        unpack(
            lambda wildcards: PLAN.inputs.choose_groups(
                wildcards.method, wildcards.budget
            )
        ),
    output:
        subset=scatter.classes(
            "results/selections/{{method}}/{{budget}}/{scatteritem}.csv"
        ),
        diagnostics=scatter.classes(
            "results/selections/{{method}}/{{budget}}/{scatteritem}.diagnostics.csv"
        ),
    log:
        "logs/choose_groups/{method}/{budget}.log",
    benchmark:
        "results/benchmarks/choose_groups/{method}/{budget}.tsv"
    wildcard_constraints:
        method=PLAN.names("grouped"),
    conda:
        "../../envs/score.yaml"
    threads: 1
    params:
        inputs=lambda wildcards, input: PLAN.flags(input),
        options=lambda wildcards: PLAN.options.choose_groups(
            wildcards.method, wildcards.budget
        ),
        outputs=lambda wildcards, output: PLAN.flags(
            {"output": output.subset, "diagnostics": output.diagnostics}
        ),
        code=lambda wildcards: code(
            "synthesis.choose_groups.choose_groups",
            *PLAN.unused(method=wildcards.method),
        ),
    shell:
        "exec python -m condense --threads 1 choose-groups {params.options} {params.inputs} {params.outputs}"
        " > {log} 2>&1"
