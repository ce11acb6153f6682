# Inputs: subsets, embeddings and probabilities. Outputs: results/measures/{method}/{budget}.csv,
# results/appraisals/{judge}/{method}/{budget}/seed{seed}.csv, results/subsets.csv and figures. Steps: measure each
# subset before anything is trained on it, against its dataset and against held-out images; draw it.


rule moments:
    """Compute mean and covariance of an encoder's features."""
    input:
        gather.classes("results/embeddings/{{encoder}}/{scatteritem}.h5"),
    output:
        "results/moments/{encoder}.h5",
    log:
        "logs/moments/{encoder}.log",
    conda:
        "../../envs/score.yaml"
    threads: 1
    params:
        code=code("selection.measure.moments"),
    shell:
        "exec python -m condense --threads 1 moments {input} --output {output} > {log} 2>&1"


rule measure:
    """Measure a subset against its dataset."""
    input:
        unpack(lambda wildcards: PLAN.inputs.measure()),
        subset="results/subsets/{method}/{budget}.csv",
        diagnostics="results/diagnostics/{method}/{budget}.csv",
    output:
        "results/measures/{method}/{budget}.csv",
    log:
        "logs/measure/{method}/{budget}.log",
    benchmark:
        "results/benchmarks/measure/{method}/{budget}.tsv"
    conda:
        "../../envs/score.yaml"
    threads: 1
    params:
        inputs=lambda wildcards, input: PLAN.flags(input),
        options=lambda wildcards: PLAN.options.measure(**wildcards),
        code=code("selection.measure.measure"),
    shell:
        "exec python -m condense --threads 1 measure {params.options} {params.inputs}"
        " --output {output} > {log} 2>&1"


rule appraise:
    """Compare a subset with held-out images."""
    input:
        unpack(lambda wildcards: PLAN.inputs.appraise(wildcards.judge)),
        subset="results/subsets/{method}/{budget}.csv",
    output:
        "results/appraisals/{judge}/{method}/{budget}/seed{seed}.csv",
    log:
        "logs/appraise/{judge}/{method}/{budget}/seed{seed}.log",
    benchmark:
        "results/benchmarks/appraise/{judge}/{method}/{budget}/seed{seed}.tsv"
    conda:
        "../../envs/score.yaml"
    threads: 1
    params:
        inputs=lambda wildcards, input: PLAN.flags(input),
        options=lambda wildcards: PLAN.options.appraise(**wildcards),
        code=code("selection.appraise.appraise"),
    shell:
        "exec python -m condense --threads 1 appraise {params.options} {params.inputs}"
        " --output {output} > {log} 2>&1"


rule merge_measures:
    """Gather what was measured of the subsets."""
    input:
        **PLAN.inputs.merge_measures(),
    output:
        report(
            "results/subsets.csv",
            caption="../report/subsets.rst",
            category="Subsets",
            labels={"table": "subsets"},
        ),
    log:
        "logs/merge_measures.log",
    conda:
        "../../envs/score.yaml"
    threads: 1
    params:
        inputs=lambda wildcards, input: PLAN.flags(input),
        code=code("selection.measure.merge_measures"),
    shell:
        "exec python -m condense merge-measures {params.inputs} --output {output} > {log} 2>&1"


rule plot_chosen:
    """Draw the chosen images of each class beside random ones."""
    input:
        subset="results/subsets/{method}/{budget}.csv",
        index="results/index.csv",
    output:
        report(
            "results/figures/chosen/{method}/{budget}.png",
            caption="../report/chosen.rst",
            category="Subsets",
            subcategory="{method}",
            labels={"figure": "images", "method": "{method}", "budget": "{budget}"},
        ),
    log:
        "logs/plot_chosen/{method}/{budget}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        options=PLAN.options.plot_chosen(),
        code=code("reporting.portraits.plot_chosen", *PLAN.unused()),
    shell:
        "exec python -m condense --threads 1 plot-chosen {params.options} --subset {input.subset}"
        " --index {input.index} --output {output} > {log} 2>&1"


rule plot_map:
    """Draw a subset among all images of its classes."""
    input:
        features=lambda wildcards: PLAN.inputs.plot_map(),
        subset="results/subsets/{method}/{budget}.csv",
    output:
        png=report(
            "results/figures/map/{method}/{budget}.png",
            caption="../report/map.rst",
            category="Subsets",
            subcategory="{method}",
            labels={"figure": "map", "method": "{method}", "budget": "{budget}"},
        ),
        svg="results/figures/map/{method}/{budget}.svg",
    log:
        "logs/plot_map/{method}/{budget}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        code=code("reporting.portraits.plot_map"),
    shell:
        "exec python -m condense --threads 1 plot-map {input.features} --subset {input.subset}"
        " --output {output.png} --output {output.svg} > {log} 2>&1"
