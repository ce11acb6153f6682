# Inputs: latents of a subset, and the captions and patches of a recipe. Outputs:
# results/generators/{generator}/{method}/{budget}/seed{seed}.safetensors, its history and its milestones. Steps: train
# from scratch; the state of an interrupted run is in results/state/train, which is no declared output because
# Snakemake deletes those when a job starts.


rule train:
    """Train a generator from scratch on a subset."""
    input:
        unpack(
            lambda wildcards: PLAN.inputs.train(
                wildcards.generator,
                wildcards.method,
                wildcards.budget,
                wildcards.seed,
            )
        ),
        subset="results/subsets/{method}/{budget}.csv",
    output:
        weights="results/generators/{generator}/{method}/{budget}/seed{seed}.safetensors",
        history="results/generators/{generator}/{method}/{budget}/seed{seed}.history.jsonl",
        milestones=directory(
            "results/generators/{generator}/{method}/{budget}/seed{seed}.milestones"
        ),
    log:
        "logs/train/{generator}/{method}/{budget}/seed{seed}.log",
    benchmark:
        "results/benchmarks/train/{generator}/{method}/{budget}/seed{seed}.tsv"
    wildcard_constraints:
        generator=PLAN.names("trained"),
    priority: 1  # the longest chain of jobs: begin it early
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        inputs=lambda wildcards, input: PLAN.flags(input, "subset"),
        options=lambda wildcards: PLAN.options.train(
            wildcards.generator, wildcards.seed
        ),
        state=place("results/state/train/{generator}/{method}/{budget}/seed{seed}"),
        code=lambda wildcards: code(
            "training.train.train", *PLAN.unused(generator=wildcards.generator)
        ),
    shell:
        "exec python -m condense --threads 1 train {params.options}"
        " {params.inputs} --state-folder {params.state} --workers {resources.gpu}"
        " --output {output.weights} --history {output.history} --milestones {output.milestones} > {log} 2>&1"
