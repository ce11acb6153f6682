# Inputs: index, made sets and students trained on them. Outputs: results/confusion/, results/selections/{method}/{budget}/
# of doped methods, results/dope_trigger/, results/occupancy/. Steps: let a student judge every real image; top a made set
# up with those that it confuses most; tell when more made images stop paying, and how many cells a set occupies.


rule confusion:
    """Measure how much a student confuses each image of a shard."""
    input:
        unpack(
            lambda wildcards: PLAN.inputs.confusion(
                wildcards.reference,
                wildcards.student,
                wildcards.budget,
                wildcards.seed,
            )
        ),
        student="results/students/{student}/{method}/{budget}/seed{seed}.safetensors",
        subset="results/subsets/{method}/{budget}.csv",
        index="results/index/{scatteritem}.csv",
    output:
        "results/confusion/{reference}/{student}/{method}/{budget}/seed{seed}/{scatteritem}.h5",
    log:
        "logs/confusion/{reference}/{student}/{method}/{budget}/seed{seed}/{scatteritem}.log",
    benchmark:
        "results/benchmarks/confusion/{reference}/{student}/{method}/{budget}/seed{seed}/{scatteritem}.tsv"
    wildcard_constraints:
        reference="label|teacher",
    conda:
        "../../envs/students.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        inputs=lambda wildcards, input: PLAN.flags(input, "subset"),
        options=PLAN.options.confusion(),
        state=place(
            "results/state/confusion/{reference}/{student}/{method}/{budget}/seed{seed}/{scatteritem}"
        ),
        code=code("synthesis.confusion.confusion", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 confusion {params.inputs} {params.options}"
        " --state {params.state} --output {output} > {log} 2>&1"


rule dope:
    """Top the made images of a shard's classes up with the real ones that are confused most."""
    input:
        unpack(lambda wildcards: PLAN.inputs.dope(wildcards.method)),
        index="results/index/{scatteritem}.csv",
    output:
        subset="results/selections/{method}/{budget}/{scatteritem}.csv",
        diagnostics="results/selections/{method}/{budget}/{scatteritem}.diagnostics.csv",
    log:
        "logs/dope/{method}/{budget}/{scatteritem}.log",
    benchmark:
        "results/benchmarks/dope/{method}/{budget}/{scatteritem}.tsv"
    wildcard_constraints:
        method=PLAN.names("doped"),
    conda:
        "../../envs/select.yaml"
    threads: 1
    params:
        inputs=lambda wildcards, input: PLAN.flags(input),
        options=lambda wildcards: PLAN.options.dope(wildcards.method, wildcards.budget),
        code=code("synthesis.doping.dope"),
    shell:
        "exec python -m condense dope {params.inputs} {params.options}"
        " --output {output.subset} --diagnostics {output.diagnostics} > {log} 2>&1"


rule dope_trigger:
    """Tell how many real images a student recognises by the size of its made set, and where to stop."""
    input:
        lambda wildcards: PLAN.inputs.dope_trigger(**wildcards),
    output:
        "results/dope_trigger/{reference}/{student}/{method}/seed{seed}.csv",
    log:
        "logs/dope_trigger/{reference}/{student}/{method}/seed{seed}.log",
    wildcard_constraints:
        reference="label|teacher",
    conda:
        "../../envs/select.yaml"
    threads: 1
    params:
        code=code("synthesis.dope_trigger.dope_trigger"),
    shell:
        "exec python -m condense dope-trigger {input} --output {output} > {log} 2>&1"


rule occupancy:
    """Count the cells of random features that the images of a set occupy."""
    input:
        unpack(
            lambda wildcards: PLAN.inputs.occupancy(
                wildcards.space, wildcards.resolution
            )
        ),
        made="results/latents/{space}/{resolution}/{method}/{budget}.h5",
        subset="results/subsets/{method}/{budget}.csv",
    output:
        "results/occupancy/{space}/{resolution}/{method}/{budget}.csv",
    log:
        "logs/occupancy/{space}/{resolution}/{method}/{budget}.log",
    conda:
        "../../envs/select.yaml"
    threads: 1
    params:
        inputs=lambda wildcards, input: PLAN.flags(input, "subset"),
        code=code("synthesis.occupancy.occupancy"),
    shell:
        "exec python -m condense --threads 1 occupancy {params.inputs}"
        " --name {wildcards.method} --budget-name {wildcards.budget} --output {output} > {log} 2>&1"
