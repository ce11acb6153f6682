# Inputs: embeddings. Outputs: results/heads/{encoder}.safetensors, results/probabilities/{encoder}/{shard}.h5.
# Steps: fit a linear head where the encoder has none for the study's classes; apply the head to cached features.


rule head:
    """Fit a linear classifier on an encoder's features of all classes."""
    input:
        gather.classes("results/embeddings/{{encoder}}/{scatteritem}.h5"),
    output:
        "results/heads/{encoder}.safetensors",
    log:
        "logs/head/{encoder}.log",
    benchmark:
        "results/benchmarks/head/{encoder}.tsv"
    conda:
        "../../envs/embed.yaml"
    threads: 1
    params:
        code=code("encoders.classify.head"),
    shell:
        "exec python -m condense --threads 1 head {input} --output {output} > {log} 2>&1"


rule classify:
    """Compute log-probabilities of a shard's images from their cached features."""
    input:
        unpack(lambda wildcards: PLAN.inputs.classify(**wildcards)),
    output:
        "results/probabilities/{encoder}/{scatteritem}.h5",
    log:
        "logs/classify/{encoder}/{scatteritem}.log",
    benchmark:
        "results/benchmarks/classify/{encoder}/{scatteritem}.tsv"
    conda:
        "../../envs/embed.yaml"
    threads: 1
    params:
        inputs=lambda wildcards, input: PLAN.flags(input),
        code=code("encoders.classify.classify"),
    shell:
        "exec python -m condense --threads 1 classify {params.inputs} --output {output} > {log} 2>&1"
