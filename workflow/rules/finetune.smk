# Inputs: a generator, and latents of a subset. Outputs:
# results/generators/{generator}/{method}/{budget}/seed{seed}.safetensors and its history, as of a training. Steps: start
# from the generator's weights; the state of an interrupted run is in results/state/finetune.


rule finetune:
    """Make a generator from another one's weights."""
    input:
        unpack(
            lambda wildcards: PLAN.inputs.finetune(
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
    log:
        "logs/finetune/{generator}/{method}/{budget}/seed{seed}.log",
    benchmark:
        "results/benchmarks/finetune/{generator}/{method}/{budget}/seed{seed}.tsv"
    wildcard_constraints:
        generator=PLAN.names("finetuned"),
    priority: 1  # a long chain of jobs: begin it early
    conda:
        "../../envs/generate.yaml"
    threads: 1
    resources:
        gpu=1,
    params:
        inputs=lambda wildcards, input: PLAN.flags(input, "start_subset"),
        options=lambda wildcards: PLAN.options.finetune(
            wildcards.generator, wildcards.seed
        ),
        state=place("results/state/finetune/{generator}/{method}/{budget}/seed{seed}"),
        code=lambda wildcards: code(
            "training.finetune.finetune", *PLAN.unused(generator=wildcards.generator)
        ),
    shell:
        "exec python -m condense --threads 1 finetune {params.options}"
        " {params.inputs} --state-folder {params.state}"
        " --output {output.weights} --history {output.history} > {log} 2>&1"
