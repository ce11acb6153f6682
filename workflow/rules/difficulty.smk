# Inputs: features, or a generator and the images. Outputs: results/margins/{encoder}.h5,
# results/difficulty/{method}/{shard}.h5. Steps: score how hard each image is, for the methods that rank by it.


rule margins:
    """Accumulate each image's margin over the training of a small classifier."""
    input:
        gather.classes("results/embeddings/{{encoder}}/{scatteritem}.h5"),
    output:
        "results/margins/{encoder}.h5",
    log:
        "logs/margins/{encoder}.log",
    benchmark:
        "results/benchmarks/margins/{encoder}.tsv"
    conda:
        "../../envs/select.yaml"
    threads: 1
    params:
        code=code("selection.margins.margins"),
    shell:
        "exec python -m condense --threads 1 margins {input} --output {output} > {log} 2>&1"


rule import_checkpoint:
    """Turn an official DiT checkpoint into a generator."""
    output:
        "results/checkpoints/{kind}/{name}.safetensors",
    log:
        "logs/import_checkpoint/{kind}/{name}.log",
    wildcard_constraints:
        kind="methods|generators",  # what of the study asks for it
    conda:
        "../../envs/generate.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.import_checkpoint(**wildcards),
        code=code("diffusion.checkpoints.import_checkpoint"),
    shell:
        "exec python -m condense --threads 1 import-checkpoint {params.options}"
        " --output {output} > {log} 2>&1"


rule difficulty:
    """Measure a generator's denoising loss on a shard's images."""
    input:
        unpack(lambda wildcards: PLAN.inputs.difficulty(wildcards.method)),
        index="results/index/{scatteritem}.csv",
    output:
        "results/difficulty/{method}/{scatteritem}.h5",
    log:
        "logs/difficulty/{method}/{scatteritem}.log",
    benchmark:
        "results/benchmarks/difficulty/{method}/{scatteritem}.tsv"
    priority: 1  # the longest chain of jobs: begin it early
    conda:
        "../../envs/generate.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.difficulty(wildcards.method),
        code=lambda wildcards: code(
            "selection.difficulty.difficulty",
            *PLAN.unused(ranking=wildcards.method),
        ),
    shell:
        "exec python -m condense --threads 1 difficulty {params.options} --index {input.index}"
        " --output {output} --state "
        + place("results/state/difficulty/{wildcards.method}/{wildcards.scatteritem}")
        + " > {log} 2>&1"
