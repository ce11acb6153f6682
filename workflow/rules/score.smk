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
        code=code("scoring.detect"),
    shell:
        "exec python -m condense fetch-inception --output {output} > {log} 2>&1"


rule reference:
    """Compute the detector's features of a shard's images, cropped as a generator saw them."""
    input:
        **PLAN.detector_inputs(),
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
        images=PLAN.options(PLAN.study.images),
        detector=PLAN.detector(),
        code=code("scoring.detect"),
    shell:
        "exec python -m condense --threads 1 reference {params.images} --index {input.index}"
        " {params.detector} --resolution {wildcards.resolution} --output {output}"
        " --state results/state/reference/{wildcards.resolution}/{wildcards.scatteritem}"
        " > {log} 2>&1"


rule reference_batch:
    """Compute the detector's features of an ADM reference batch, which stands for the study's images."""
    input:
        **PLAN.detector_inputs(),
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
        batch=lambda wildcards: PLAN.reference_batch(wildcards.resolution),
        detector=PLAN.detector(),
        code=code("scoring.image_sets"),
    shell:
        "exec python -m condense --threads 1 reference-batch {params.batch} {params.detector}"
        " --resolution {wildcards.resolution} --output {output} > {log} 2>&1"


rule detect:
    """Compute the detector's features and logits of a run's samples."""
    input:
        **PLAN.detector_inputs(head=True),
        samples=gather.images(
            "results/samples/{{generator}}/{{method}}/{{budget}}/seed{{seed}}/{scatteritem}.npz"
        ),
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
        detector=PLAN.detector(head=True),
        code=code("scoring.detect"),
    shell:
        "exec python -m condense --threads 1 detect {input.samples} {params.detector}"
        " --index {input.index} --output {output} > {log} 2>&1"


rule score:
    """Compute every metric of a run from cached features."""
    input:
        features="results/features/{generator}/{method}/{budget}/seed{seed}.h5",
        weights=lambda wildcards: PLAN.weights_input(**wildcards),
        subset="results/subsets/{method}/{budget}.csv",
        references=lambda wildcards: PLAN.references(
            wildcards.generator, gather.classes
        ),
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
        weights=lambda wildcards: PLAN.weights(**wildcards),
        context=lambda wildcards: PLAN.context(**wildcards),
        code=code("scoring.score"),
    shell:
        "exec python -m condense --threads 1 score {input.references} --features {input.features}"
        " --weights {params.weights} --subset {input.subset} {params.context}"
        " --output {output.row} --pairs {output.pairs} --distances {output.distances} > {log} 2>&1"
