# Inputs: a trained generator. Outputs: results/samples/{generator}/{method}/{budget}/seed{seed}/{part}.npz, which
# Snakemake deletes after their last use, once no subset is left to choose (--notemp keeps them), and on demand
# .../seed{seed}.npz for other programs.
# Steps: draw each image from its own random stream; decode; write uint8.


rule generate:
    """Draw one part of a run's images."""
    input:
        lambda wildcards: PLAN.inputs.generate(
            wildcards.generator, wildcards.method, wildcards.budget, wildcards.seed
        ),
        subset="results/subsets/{method}/{budget}.csv",
    output:
        temp(
            "results/samples/{generator}/{method}/{budget}/seed{seed}/{scatteritem}.npz"
        ),
    log:
        "logs/generate/{generator}/{method}/{budget}/seed{seed}/{scatteritem}.log",
    benchmark:
        "results/benchmarks/generate/{generator}/{method}/{budget}/seed{seed}/{scatteritem}.tsv"
    conda:
        "../../envs/generate.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.generate(
            wildcards.generator, wildcards.method, wildcards.budget, wildcards.seed
        ),
        code=lambda wildcards: code(
            "diffusion.generate.generate", *PLAN.unused(generator=wildcards.generator)
        ),
    shell:
        "exec python -m condense --threads 1 generate {params.options}"
        " --shard {wildcards.scatteritem} --output {output} > {log} 2>&1"


rule merge_samples:
    """Put a run's images into one file in the format of ADM's evaluator."""
    input:
        samples=gather.images(
            "results/samples/{{generator}}/{{method}}/{{budget}}/seed{{seed}}/{scatteritem}.npz"
        ),
        subset="results/subsets/{method}/{budget}.csv",
    output:
        "results/samples/{generator}/{method}/{budget}/seed{seed}.npz",
    log:
        "logs/merge_samples/{generator}/{method}/{budget}/seed{seed}.log",
    conda:
        "../../envs/generate.yaml"
    threads: 1
    params:
        code=code("diffusion.generate.merge_samples"),
    shell:
        "exec python -m condense --threads 1 merge-samples {input.samples} --output {output} > {log} 2>&1"
