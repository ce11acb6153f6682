"""The config as documents: its JSON schema for editors, and the complete config of one study."""

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from condense.base.errors import InputError
from condense.base.storage import replacing
from condense.config import study as studies
from condense.config.finetuning import Finetune
from condense.config.names import Name
from condense.config.settings import Sampling
from condense.config.study import Generator, Study
from condense.config.weights import Weights

DRAFT = "https://json-schema.org/draft/2020-12/schema"
HEADING = (
    "# Every setting of the study, those that its config leaves out at their defaults. It is a config too.\n"
)


class Borrower(BaseModel):
    """A generator with another's weights: what is not said here is that generator's."""

    model_config = ConfigDict(extra="forbid")

    weights: Weights
    sampling: Sampling = Sampling()


class Finetuned(BaseModel):
    """A generator made from another's weights: what is not said here is that generator's."""

    model_config = ConfigDict(extra="forbid")

    finetune: Finetune
    sampling: Sampling = Sampling()


class Written(Study):
    """A study as it is written: a generator that begins at another's weights has little of its own."""

    generators: dict[Name, Generator | Borrower | Finetuned] = Field(
        {}, description="Generators trained on the subsets."
    )


def read_config(path: Path) -> dict[str, Any]:
    """A config as it is written. InputError names the line where it is no YAML, or has a key twice."""
    import yaml

    class Strict(yaml.SafeLoader):
        """Refuses what YAML forbids and its loaders let pass: a key that stands twice."""

        def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
            seen = set()
            words = (key for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            for key in words:
                if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                    what = f"{key.value} stands twice"
                    raise yaml.constructor.ConstructorError(None, None, what, key.start_mark)
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        found = Strict(path.read_text(encoding="utf-8")).get_single_data()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give the config of a study.") from None
    except UnicodeDecodeError:
        raise InputError(f"{path} is not text in UTF-8; save it as such.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}" if mark else "a character"
        what = getattr(error, "problem", None) or "that YAML does not allow"
        raise InputError(f"{path}, {where}: {what}; correct it.") from None
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no keys; give the config of a study.")
    return found


def schema(
    output: Annotated[Path | None, typer.Option(help="File to write (JSON); printed when not given.")] = None,
) -> None:
    """Write the JSON schema of a config, by which editors complete and check one."""
    text = json.dumps(describe(), indent=1, ensure_ascii=False) + "\n"
    if output is None:
        print(text, end="")
        return
    with replacing(output) as beside:
        beside.write_text(text, encoding="utf-8")


def describe() -> dict[str, Any]:
    """JSON schema of a config."""
    found = TypeAdapter(Written).json_schema()
    for kind in found["properties"]["methods"]["patternProperties"].values():
        for member in kind["oneOf"]:  # the tag has no default in a config
            part = found["$defs"][member["$ref"].rpartition("/")[2]]
            part["required"] = [*dict.fromkeys(["kind", *part.get("required", [])])]
    training = found["$defs"]["Student"]["properties"]["training"]
    training["anyOf"] = training.pop("oneOf")  # a training that names no recipe is by `dc`
    return {"$schema": DRAFT, **found, "title": "Study of condense", "description": Study.__doc__}


def record_config(
    config: Annotated[str, typer.Option(help="Config of the study, as JSON.")],
    output: Annotated[Path, typer.Option(help="Complete config (YAML).")],
) -> None:
    """Write every setting of a study, defaults included."""
    import yaml

    whole = complete(studies.load(json.loads(config)))
    with replacing(output) as beside:
        text = yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=100)
        beside.write_text(HEADING + text, encoding="utf-8")


def fingerprint(study: Study) -> str:
    """Digest of every setting of a study: another default is another config."""
    return hashlib.sha256(json.dumps(complete(study)).encode()).hexdigest()[:16]


def complete(study: Study) -> dict[str, Any]:
    """Config that gives the same study and leaves nothing to a default."""
    whole = study.model_dump(mode="json")
    for name, generator in study.generators.items():
        own = "weights" if generator.weights else "finetune" if generator.finetune else ""
        if own:  # the rest is the other generator's
            whole["generators"][name] = {key: whole["generators"][name][key] for key in (own, "sampling")}
    return whole
