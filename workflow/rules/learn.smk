# Inputs: subsets, the study's images and those held out for validation. Outputs: results/validation_index.csv,
# results/labels/{student}/{method}/{budget}/seed{seed}.safetensors, results/students/ with histories, results/accuracies/
# with confusions, results/accuracy_{budget}.csv, results/accuracies_{budget}.csv. Steps: list the validation images; let
# teachers label a subset; train students, whose states are in results/state/learn; examine them; gather accuracies.


rule validation_index:
    """List the images that students are examined on."""
    output:
        "results/validation_index.csv",
    log:
        "logs/validation_index.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        options=PLAN.options.validation_index(),
        listing=lambda wildcards: PLAN.listing("1-of-1", validation=True),
        code=code("images.index.validation_index", *PLAN.unused()),
    shell:
        "exec python -m condense validation-index {params.options} --output {output} > {log} 2>&1"


rule relabel:
    """Label each image of a subset by a student's teachers."""
    input:
        unpack(
            lambda wildcards: PLAN.inputs.relabel(
                wildcards.student, wildcards.budget, wildcards.seed
            )
        ),
        subset="results/subsets/{method}/{budget}.csv",
    output:
        "results/labels/{student}/{method}/{budget}/seed{seed}.safetensors",
    log:
        "logs/relabel/{student}/{method}/{budget}/seed{seed}.log",
    benchmark:
        "results/benchmarks/relabel/{student}/{method}/{budget}/seed{seed}.tsv"
    conda:
        "../../envs/students.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        inputs=lambda wildcards, input: PLAN.flags(input),
        options=PLAN.options.relabel(),
        code=code("students.relabel.relabel", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 relabel {params.inputs} {params.options}"
        " --output {output} > {log} 2>&1"


rule learn:
    """Train a student on a subset, and keep its best and its last epoch."""
    input:
        unpack(lambda wildcards: PLAN.inputs.learn(**wildcards)),
        subset="results/subsets/{method}/{budget}.csv",
    output:
        weights="results/students/{student}/{method}/{budget}/seed{seed}.safetensors",
        history="results/students/{student}/{method}/{budget}/seed{seed}.history.jsonl",
    log:
        "logs/learn/{student}/{method}/{budget}/seed{seed}.log",
    benchmark:
        "results/benchmarks/learn/{student}/{method}/{budget}/seed{seed}.tsv"
    conda:
        "../../envs/students.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        inputs=lambda wildcards, input: PLAN.flags(input),
        options=lambda wildcards: PLAN.options.learn(wildcards.student, wildcards.seed),
        state=place("results/state/learn/{student}/{method}/{budget}/seed{seed}"),
        code=code("students.learn.learn", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 learn {params.inputs} {params.options}"
        " --state-folder {params.state} --output {output.weights} --history {output.history} > {log} 2>&1"


rule examine:
    """Measure a student's accuracy on the validation images."""
    input:
        weights="results/students/{student}/{method}/{budget}/seed{seed}.safetensors",
        validation_index="results/validation_index.csv",
        subset="results/subsets/{method}/{budget}.csv",
    output:
        row="results/accuracies/{student}/{method}/{budget}/seed{seed}.csv",
        confusion="results/accuracies/{student}/{method}/{budget}/seed{seed}.confusion.csv",
    log:
        "logs/examine/{student}/{method}/{budget}/seed{seed}.log",
    benchmark:
        "results/benchmarks/examine/{student}/{method}/{budget}/seed{seed}.tsv"
    conda:
        "../../envs/students.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        inputs=lambda wildcards, input: PLAN.flags(input, "subset"),
        options=lambda wildcards: PLAN.options.examine(**wildcards),
        code=code("students.examine.examine", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 examine {params.inputs} {params.options}"
        " --output {output.row} --confusion {output.confusion} > {log} 2>&1"


rule accuracies:
    """Gather the accuracies of a comparison's students, measured beside published."""
    input:
        lambda wildcards: PLAN.inputs.accuracies(wildcards.budget),
    output:
        table=report(
            "results/accuracy_{budget}.csv",
            caption="../report/accuracies.rst",
            category="Tables",
            labels={"table": "accuracy", "budget": "{budget}"},
        ),
        every=report(
            "results/accuracies_{budget}.csv",
            caption="../report/examinations.rst",
            category="Tables",
            labels={"table": "every student", "budget": "{budget}"},
        ),
    log:
        "logs/accuracies/{budget}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.accuracies(wildcards.budget),
        published=PLAN.published(),
        code=code("reporting.comparisons.accuracies"),
    shell:
        "exec python -m condense accuracies {input} {params.options}"
        " --output {output.table} --every {output.every} > {log} 2>&1"
