# Inputs: the study's images and the samples of a run. Outputs: results/references/{resolution}/{shard}.h5,
# results/features/{generator}/{method}/{budget}/seed{seed}.h5, results/scores/.../seed{seed}.csv.
# Steps: features by one detector, once per set of images; every metric from cached features.


rule fetch_inception:
    """Download the FID Inception, where the config names no file of it."""
    output:
        "results/encoders/{encoder}.pth",
    log:
        "logs/fetch_inception/{encoder}.log",
    conda:
        "../../envs/embed.yaml"
    threads: 1
    params:
        code=code("scoring.detect.fetch_inception"),
    shell:
        "exec python -m condense fetch-inception --output {output} > {log} 2>&1"


rule reference:
    """Compute the detector's features of a shard's images, cropped as a generator saw them."""
    input:
        **PLAN.inputs.reference(),
        index="results/index/{scatteritem}.csv",
    output:
        "results/references/{resolution}/{scatteritem}.h5",
    log:
        "logs/reference/{resolution}/{scatteritem}.log",
    benchmark:
        "results/benchmarks/reference/{resolution}/{scatteritem}.tsv"
    conda:
        "../../envs/embed.yaml"
    threads: 1
    params:
        options=PLAN.options.reference(),
        code=code("scoring.detect.reference", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 reference {params.options} --index {input.index}"
        " --resolution {wildcards.resolution} --output {output}"
        " --state "
        + place(
            "results/state/reference/{wildcards.resolution}/{wildcards.scatteritem}"
        )
        + " > {log} 2>&1"


rule reference_batch:
    """Compute the detector's features of an ADM reference batch, which stands for the study's images."""
    input:
        **PLAN.inputs.reference_batch(),
    output:
        "results/references/{resolution}/batch.h5",
    log:
        "logs/reference_batch/{resolution}.log",
    benchmark:
        "results/benchmarks/reference_batch/{resolution}.tsv"
    conda:
        "../../envs/embed.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.reference_batch(wildcards.resolution),
        code=code("scoring.image_sets.reference_batch"),
    shell:
        "exec python -m condense --threads 1 reference-batch {params.options}"
        " --resolution {wildcards.resolution} --output {output} > {log} 2>&1"


rule detect:
    """Compute the detector's features and logits of a run's samples."""
    input:
        **PLAN.inputs.detect(),
        samples=gather.images(
            "results/samples/{{generator}}/{{method}}/{{budget}}/seed{{seed}}/{scatteritem}.npz"
        ),
        subset="results/subsets/{method}/{budget}.csv",
        index="results/index.csv",
    output:
        "results/features/{generator}/{method}/{budget}/seed{seed}.h5",
    log:
        "logs/detect/{generator}/{method}/{budget}/seed{seed}.log",
    benchmark:
        "results/benchmarks/detect/{generator}/{method}/{budget}/seed{seed}.tsv"
    conda:
        "../../envs/embed.yaml"
    threads: 1
    params:
        options=PLAN.options.detect(),
        code=code("scoring.detect.detect", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 detect {input.samples} {params.options}"
        " --index {input.index} --output {output} > {log} 2>&1"


rule score:
    """Compute every metric of a run from cached features."""
    input:
        unpack(lambda wildcards: PLAN.inputs.score(**wildcards)),
        features="results/features/{generator}/{method}/{budget}/seed{seed}.h5",
        subset="results/subsets/{method}/{budget}.csv",
    output:
        row="results/scores/{generator}/{method}/{budget}/seed{seed}.csv",
        pairs="results/scores/{generator}/{method}/{budget}/seed{seed}.pairs.csv",
        distances="results/scores/{generator}/{method}/{budget}/seed{seed}.distances.csv",
    log:
        "logs/score/{generator}/{method}/{budget}/seed{seed}.log",
    benchmark:
        "results/benchmarks/score/{generator}/{method}/{budget}/seed{seed}.tsv"
    conda:
        "../../envs/score.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.score(**wildcards),
        code=code("scoring.score.score", "pictures"),
    shell:
        "exec python -m condense --threads 1 score {input.references} --features {input.features}"
        " --subset {input.subset} {params.options}"
        " --output {output.row} --pairs {output.pairs} --distances {output.distances} > {log} 2>&1"
