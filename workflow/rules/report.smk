# Inputs: the config, tables and figures. Outputs: results/config.yaml, results/provenance.html, results/reproduce.md,
# results/cards/, results/report.zip, results/report_{budget}.zip. Steps: say what the results were made with; let
# Snakemake build its report from the records of the finished jobs, from inside the running workflow.


rule record_config:
    """Write every setting of the study, defaults included."""
    output:
        report(
            "results/config.yaml",
            caption="../report/config.rst",
            category="Provenance",
            labels={"page": "config"},
        ),
    log:
        "logs/record_config.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        config=json.dumps(config),
        settings=PLAN.settings(),
        code=code("config.document.record_config"),
    shell:
        "exec python -m condense record-config --config {params.config:q} --output {output} > {log} 2>&1"


rule provenance:
    """Tell what the results were made with, and the commands that make them again."""
    input:
        PLAN.inputs.provenance(),
    output:
        page=report(
            "results/provenance.html",
            caption="../report/provenance.rst",
            category="Provenance",
            labels={"page": "provenance"},
        ),
        reproduce="results/reproduce.md",
    log:
        "logs/provenance.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        config=json.dumps(config, sort_keys=True),
        code=code("reporting.provenance.provenance"),
    shell:
        "exec python -m condense provenance {input} --config {params.config:q} --output {output.page}"
        " --reproduce {output.reproduce} > {log} 2>&1"


rule card:
    """Write the model card of a trained generator."""
    input:
        score="results/scores/{generator}/{method}/{budget}/seed{seed}.csv",
        subset="results/subsets/{method}/{budget}.csv",
    output:
        "results/cards/{generator}/{method}/{budget}/seed{seed}.md",
    log:
        "logs/card/{generator}/{method}/{budget}/seed{seed}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.card(**wildcards),
        code=code("reporting.card.card"),
    shell:
        "exec python -m condense card --score {input.score} {params.options}"
        " --output {output} > {log} 2>&1"


rule pack_report:
    """Build the browsable report of the study, or of one comparison."""
    input:
        lambda wildcards: PLAN.inputs.pack_report(wildcards.which),
    output:
        "results/report{which}.zip",
    log:
        "logs/pack_report/results{which}.log",
    conda:
        "../../envs/report.yaml"
    threads: 1
    params:
        config=json.dumps(config, sort_keys=True),
        code=code("reporting.report.pack_report"),
    shell:
        "exec python -m condense pack-report {input} --config {params.config:q} --output {output} > {log} 2>&1"
