"""Nothing that is read runs, names are never commands, and every fault in the documentation has its test."""

import re
import shlex
import zipfile

import pytest
import yaml

from condense.plan.plan import Plan
from sources import MODULES, ROOT
from studies import TOKEN, StudyCopy

COMMAND = "$(touch x); rm -rf y"
RUNNING = ("pickle.load", "shell=True", "os.system", "eval(", "exec(", "trust_remote_code=True", "yaml.load(")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_reads_nothing_that_could_run(path):
    text = path.read_text()
    for call in re.findall(r"torch\.load\((?:[^()]|\([^()]*\))*\)", text):
        assert "weights_only=True" in call, call
    for call in re.findall(r"np\.load\((?:[^()]|\([^()]*\))*\)", text):
        assert "allow_pickle=False" in call, call
    for word in RUNNING:
        for found in re.finditer(re.escape(word), text):
            assert text[: found.start()].endswith((".", "literal_")), f"{word} in {path.name}"  # model.eval()


def test_a_file_is_to_be_deleted_only_if_the_pipeline_made_it():
    for path in MODULES:
        for found in re.finditer(r"delete (it|them|both)", path.read_text()):
            assert re.search(r"if the pipeline made (it|them), $", path.read_text()[: found.start()]), (
                path.name
            )


def test_no_module_touches_a_token():
    for path in MODULES:
        assert not re.search(r"(?i)hf_token|api_key|auth_token|token=", path.read_text()), path


def test_a_hubs_token_is_in_no_log_result_or_report(built, tmp_path):
    with zipfile.ZipFile(built.folder / "results/report.zip") as report:
        report.extractall(tmp_path)
    root = built.folder.parent
    files = [path for folder in (root, tmp_path) for path in folder.rglob("*") if path.is_file()]
    assert root / "output.txt" in files and len(files) > 100
    assert [path for path in files if TOKEN.encode() in path.read_bytes()] == []


def test_rules_quote_the_config():
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        assert not re.search(r"\{params\.config\}", path.read_text()), path


def test_options_of_a_hostile_config_are_single_words():
    config = yaml.safe_load((ROOT / "tests" / "tiny" / "config.yaml").read_text())
    config["images"]["root"] = COMMAND
    config["encoders"]["net"]["weights"] = f"{COMMAND}.safetensors"
    plan = Plan(config)
    for options in (plan.options.index(), plan.options.encoder("net")):
        assert any(word.startswith(COMMAND) for word in shlex.split(options)), options


def test_a_class_named_as_a_command_is_only_a_name(tmp_path):
    study = StudyCopy.create(tmp_path)
    (study.folder / "images/n02979186").rename(study.folder / "images" / COMMAND)
    (study.folder / "y").mkdir()
    study.configure(lambda config: config["encoders"]["net"].update(classifier="linear"))
    study.configure(lambda config: config["comparisons"]["6"].update(methods=["gadc"]))
    study.configure(lambda config: config.pop("tables", None))
    study.configure(lambda config: config.update(shards=1, sample_shards=1))
    done = study.run("results/fid_6.csv")
    assert done.returncode == 0, done.stdout
    assert COMMAND in (study.folder / "results/subsets/gadc/6.csv").read_text()
    assert (study.folder / "y").is_dir() and not [*tmp_path.rglob("x")]


def test_each_fault_of_the_documentation_has_its_test():
    rows = re.findall(r"^\|.*\| `(test_\w+)` \|$", (ROOT / "docs" / "faults.md").read_text(), re.MULTILINE)
    tests = "".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    assert len(rows) > 20 and len(set(rows)) == len(rows)
    for name in rows:
        assert f"def {name}(" in tests, name
