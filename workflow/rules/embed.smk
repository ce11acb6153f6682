# Inputs: the index and the images. Outputs: results/encoders/{encoder}.safetensors,
# results/embeddings/{encoder}/{shard}.h5, results/embeddings/{encoder}/validation.h5. Steps: fit or fetch each network; compute its features once.


rule encoder:
    """Fit an encoder on the study's images, or fetch its weights, so that later jobs need no network."""
    input:
        lambda wildcards: PLAN.inputs.encoder(wildcards.encoder),
    output:
        "results/encoders/{encoder}.safetensors",
    log:
        "logs/encoder/{encoder}.log",
    benchmark:
        "results/benchmarks/encoder/{encoder}.tsv"
    conda:
        "../../envs/embed.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.encoder(wildcards.encoder),
        code=lambda wildcards: code(
            "encoders.encoder.encoder", *PLAN.unused(encoder=wildcards.encoder)
        ),
    shell:
        "exec python -m condense --threads 1 encoder {params.options} {input}"
        " --output {output} > {log} 2>&1"


rule embed:
    """Compute the features of a shard's images."""
    input:
        index="results/index/{scatteritem}.csv",
        encoder="results/encoders/{encoder}.safetensors",
    output:
        "results/embeddings/{encoder}/{scatteritem}.h5",
    log:
        "logs/embed/{encoder}/{scatteritem}.log",
    benchmark:
        "results/benchmarks/embed/{encoder}/{scatteritem}.tsv"
    conda:
        "../../envs/embed.yaml"
    threads: 1
    params:
        options=PLAN.options.embed(),
        code=code("encoders.embed.embed", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 embed {params.options} --index {input.index} --encoder {input.encoder}"
        " --output {output} --state "
        + place("results/state/embed/{wildcards.encoder}/{wildcards.scatteritem}")
        + " > {log} 2>&1"


rule embed_validation:
    """Compute the features of the images that nobody chooses from."""
    input:
        index="results/validation_index.csv",
        encoder="results/encoders/{encoder}.safetensors",
    output:
        "results/embeddings/{encoder}/validation.h5",
    log:
        "logs/embed_validation/{encoder}.log",
    benchmark:
        "results/benchmarks/embed_validation/{encoder}.tsv"
    conda:
        "../../envs/embed.yaml"
    threads: 1
    params:
        options=PLAN.options.embed_validation(),
        code=code("encoders.embed.embed_validation", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 embed-validation {params.options} --index {input.index}"
        " --encoder {input.encoder} --output {output} --state "
        + place("results/state/embed_validation/{wildcards.encoder}")
        + " > {log} 2>&1"
