# Inputs: scores of runs. Outputs: results/fid_{budget}.csv, results/scores_{budget}.csv, results/tables/,
# results/agreement/. Steps: gather the rows of each comparison; project runs onto the tables of the config; compare
# ranks by judges with those by training.


rule table:
    """Gather the scores of a comparison, measured beside published."""
    input:
        lambda wildcards: PLAN.inputs.table(wildcards.budget),
    output:
        table=report(
            "results/fid_{budget}.csv",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "FID", "budget": "{budget}"},
        ),
        every=report(
            "results/scores_{budget}.csv",
            caption="../report/scores.rst",
            category="Tables",
            labels={"table": "every run", "budget": "{budget}"},
        ),
    log:
        "logs/table/{budget}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.table(wildcards.budget),
        published=PLAN.published(),
        code=code("reporting.comparisons.table"),
    shell:
        "exec python -m condense table {input} {params.options}"
        " --output {output.table} --every {output.every} > {log} 2>&1"


rule tabulate:
    """Project runs onto a table of the config; with costs from whatever benchmark files there are."""
    input:
        scores=lambda wildcards: PLAN.inputs.tabulate(wildcards.table),
        index="results/index.csv",
    output:
        csv="results/tables/{table}.csv",
        markdown="results/tables/{table}.md",
        latex="results/tables/{table}.tex",
        html=report(
            "results/tables/{table}.html",
            caption="../report/tabulate.rst",
            category="Tables",
            labels={"table": "{table}", "budget": ""},
        ),
    log:
        "logs/tabulate/{table}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.tabulate(wildcards.table),
        published=PLAN.published(),
        code=code("reporting.projection.tabulate"),
    shell:
        "exec python -m condense tabulate {input.scores} {params.options} --index {input.index}"
        " --benchmarks "
        + place("results/benchmarks")
        + " --output {output.csv} --markdown {output.markdown}"
        " --latex {output.latex} --html {output.html} > {log} 2>&1"


rule agreement:
    """Compare the ranks of a table's sets by its judges with those by training on them."""
    input:
        lambda wildcards: PLAN.inputs.agreement(wildcards.table),
    output:
        csv="results/agreement/{table}.csv",
        markdown="results/agreement/{table}.md",
        html=report(
            "results/agreement/{table}.html",
            caption="../report/agreement.rst",
            category="All uses: the grid",
            labels={"page": "{table}: choosing without training"},
        ),
    log:
        "logs/agreement/{table}.log",
    conda:
        "../../envs/base.yaml"
    threads: 1
    params:
        options=lambda wildcards: PLAN.options.agreement(wildcards.table),
        code=code("reporting.agreement.agreement"),
    shell:
        "exec python -m condense agreement {input} {params.options} --output {output.csv}"
        " --markdown {output.markdown} --html {output.html} > {log} 2>&1"
