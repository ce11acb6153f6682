"""The digest of a stage's code changes with what the stage uses, and with nothing else."""

import ast
from pathlib import Path

import pytest

from condense.base.digest import PACKAGE, SourceTree
from sources import MODULES

# a package in which `room.stage.stage` is a stage, and every way to use something occurs once
FILES = {
    "base/errors.py": "class InputError(Exception): pass\n",
    "base/progress.py": "def say(text): pass\ndef track(items, label): return items\n",
    "config/options.py": "def settings(cls): return cls\ndef take(**classes): return lambda f: f\n",
    "config/more.py": """
from condense.config.options import settings

@settings
class Third:
    kind: Literal["third"]
    def __post_init__(self):
        self.third = 3
""",
    "config/chosen.py": """
from condense.config.more import Third
from condense.config.options import settings

@settings
class First:
    kind: Literal["first"] = setting("first", "Old words.")
    share: float = setting(0.5, "A share.", ge=0)
    LEAST: ClassVar[float] = 0.1

    def __post_init__(self):
        if self.share > 1:
            raise ValueError("a share is at most one")

    @property
    def rest(self):
        return 1 - self.share

@settings
class Second:
    kind: Literal["second"]
    def double(self):
        return 2 * self.size

Chosen = First | Second | Third
""",
    "room/stage.py": '''
"""Old words."""
import condense.room.dotted
import condense.room.named as renamed
from condense.base.errors import InputError
from condense.base.progress import say, track
from condense.config.chosen import Chosen
from condense.config.options import take
from condense.room import acting, handed, parts
from condense.room.again import again
from condense.room.formula import SCALE, Derived, decorated, f as g
from condense.room.tables import TABLE

@take(chosen=Chosen)
def stage(
    chosen: Chosen,
    count: Annotated[int, Option(help="How many, old words.")] = 3,
) -> None:
    """Square things."""
    # a remark
    say(f"{count} things, old words")
    if count < 0:
        raise InputError(_too_few(count))
    if count > 99:
        raise RuntimeError("too many, old words")
    from condense.room.late import late
    total: int = g(count) * SCALE + late(count) + Derived().value()
    for item in track(parts.listed(count), "old label"):
        total += item
    parser.add_argument("--count", help="old help")
    way = {"first": again, "second": parts.second}[chosen.kind]
    return way(TABLE[chosen.kind], run(handed, total)) + dots()

def _too_few(count):
    return f"{count} are too few, old words"

def run(module, total):
    return decorated(module.asked(total)) + renamed.named

def dots():
    return condense.room.dotted.dot

def unused():
    return 1
''',
    "room/formula.py": """
from functools import wraps
OFFSET = 1
SCALE = 2
SCALE += 1
UNUSED = 5

def f(x, offset=OFFSET):
    return x * x

class Base:
    def value(self):
        return 3

class Derived(Base):
    number: int = 4

def wrapping(function):
    return function

@wrapping
def decorated(x):
    return helper(x)

def helper(x):
    return x + 5

def other(x):
    return x + 6
""",
    "room/late.py": "def late(x):\n    return x + 7\n",
    "room/again.py": "from condense.room.origin import again\n",
    "room/origin.py": "def again(x, y):\n    return x + 8\n",
    "room/parts.py": """
def listed(n):
    return [9] * n

def second(x, y):
    return 10

def third():
    return 11
""",
    "room/dotted.py": "dot = 12\nother = 13\n",
    "room/named.py": "named = 14\nother = 15\n",
    "room/handed.py": "def asked(x):\n    return x + 16\n\ndef never(x):\n    return x + 17\n",
    "room/acting.py": "import os\nos.environ['N'] = '18'\n",
    "room/tables.py": """
from condense.room import registered
from condense.room.ways import first, second
REGISTRY = {}

def register(function):
    REGISTRY[function.__name__] = function
    return function

@register
def kept(x):
    return x + 19

TABLE = {"first": first, "second": second, "third": lambda x: registered.third(x) + len(REGISTRY)}
NUMBERS = {"first": 1, "second": 2}
""",
    "room/ways.py": "def first(x):\n    return x + 20\n\ndef second(x):\n    return x + 21\n",
    "room/registered.py": """
from condense.room.tables import register

@register
def third(x):
    return x + 22
""",
}

STAGE = "room.stage.stage"


@pytest.fixture
def package(tmp_path):
    """Root of the package above, and a function that edits one of its modules."""
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def edit(module: str, old: str, new: str) -> None:
        path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
        assert path.read_text().count(old) == 1, (module, old)
        path.write_text(path.read_text().replace(old, new))

    return tmp_path, edit


def digest(root: Path, *unused: str) -> str:
    return SourceTree(root).digest(STAGE, *unused)


USED = {
    "the stage itself": ("room.stage", "total += item", "total -= item"),
    "a default of an argument": ("room.stage", "= 3,", "= 4,"),
    "a function behind an alias": ("room.formula", "x * x", "x + x"),
    "a function behind a function": ("room.formula", "x + 5", "x - 5"),
    "a constant": ("room.formula", "SCALE = 2", "SCALE = 4"),
    "a constant that is changed later": ("room.formula", "SCALE += 1", "SCALE += 4"),
    "a constant in a default": ("room.formula", "OFFSET = 1", "OFFSET = 4"),
    "a method of a base class": ("room.formula", "return 3", "return 4"),
    "a field of a class": ("room.formula", "number: int = 4", "number: int = 5"),
    "the type of a field": ("room.formula", "number: int", "number: float"),
    "a decorator": ("room.formula", "return function", "return None"),
    "an import inside a function": ("room.late", "x + 7", "x - 7"),
    "a name that a module hands on": ("room.origin", "x + 8", "x - 8"),
    "an attribute of a module": ("room.parts", "[9]", "[8]"),
    "an attribute of a renamed module": ("room.named", "14", "4"),
    "an attribute of the package": ("room.dotted", "12", "4"),
    "what is asked of a module that was handed on": ("room.handed", "x + 16", "x - 16"),
    "what a module does when it is imported": ("room.acting", "18", "4"),
    "an entry of a dictionary": ("room.ways", "x + 21", "x - 21"),
    "an entry of a dictionary inside a function": ("room.parts", "return 10", "return 4"),
    "a function that a decorator registers": ("room.tables", "x + 19", "x - 19"),
    "one registered in another module": ("room.registered", "x + 22", "x - 22"),
    "what settings compute": ("config.chosen", "1 - self.share", "2 - self.share"),
    "a constant of settings": ("config.chosen", "= 0.1", "= 0.2"),
    "what settings check": ("config.chosen", "self.share > 1", "self.share > 2"),
    "what settings of another module compute": ("config.more", "self.third = 3", "self.third = 4"),
}
UNUSED = {
    "a docstring": ("room.stage", "Square things.", "Cube things."),
    "a module's docstring": ("room.stage", '"""Old words."""', '"""New words."""'),
    "a comment and the layout": ("room.stage", "# a remark\n", "# another\n\n\n"),
    "what is said": ("room.stage", 'say(f"{count} things, old words")', 'say(f"{count + 1} others")'),
    "that something is said": ("room.stage", '    say(f"{count} things, old words")\n', ""),
    "a label of progress": ("room.stage", "old label", "new label"),
    "the sentence of an error": ("room.stage", "_too_few(count))", 'f"{count}?")'),
    "a function that words it": ("room.stage", "are too few", "are few"),
    "the sentence of a built-in error": ("room.stage", "too many, old", "too many, new"),
    "an option's help": ("room.stage", "How many, old", "How many, new"),
    "help anywhere": ("room.stage", "old help", "new help"),
    "an annotation": ("room.stage", "total: int", "total: float"),
    "an import": ("room.stage", "from condense.base.progress", "import os\nfrom condense.base.progress"),
    "where else an error stands": ("base.errors", "Exception", "ValueError"),
    "how progress is shown": ("base.progress", "def say(text): pass", "def say(text): print(text)"),
    "how options are read": ("config.options", "return cls", "return dataclass(cls)"),
    "a function beside": ("room.stage", "return 1", "return 4"),
    "a constant of an imported module": ("room.formula", "UNUSED = 5", "UNUSED = 4"),
    "a function of an imported module": ("room.formula", "x + 6", "x - 6"),
    "another attribute of a module": ("room.parts", "return 11", "return 4"),
    "another attribute of a renamed module": ("room.named", "15", "4"),
    "another attribute of the package": ("room.dotted", "13", "4"),
    "what nothing asks of a module that was handed on": ("room.handed", "x + 17", "x - 17"),
    "the description of a setting": ("config.chosen", "A share.", "The share."),
    "the default of a setting, which its option has": ("config.chosen", "setting(0.5", "setting(0.6"),
    "the sentence of a fault in settings": ("config.chosen", "at most one", "at most 1"),
    "one more setting": (
        "config.chosen",
        "    @property",
        '    more: int = setting(1, "More.")\n\n    @property',
    ),
}


@pytest.mark.parametrize("what", USED)
def test_what_a_stage_uses_changes_its_digest(package, what):
    root, edit = package
    before = digest(root)
    edit(*USED[what])
    assert digest(root) != before


@pytest.mark.parametrize("what", UNUSED)
def test_prose_and_what_a_stage_does_not_use_change_nothing(package, what):
    root, edit = package
    before = digest(root)
    edit(*UNUSED[what])
    assert digest(root) == before


def test_one_more_class_of_settings_without_a_method_changes_nothing(package):
    root, edit = package
    before = digest(root)
    edit(
        "config.chosen",
        "Chosen = First | Second",
        "@settings\nclass Fourth:\n    a: int\n\nChosen = First | Fourth | Second",
    )
    assert digest(root) == before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("room.ways", "x + 21", "x - 21"),
        ("room.parts", "return 10", "return 4"),
        ("config.chosen", "2 * self.size", "4 * self.size"),
        ("config.more", "self.third = 3", "self.third = 4"),
        ("room.tables", '"third": ', '"fourth": second, "third": '),
    ],
)
def test_what_is_kept_for_words_that_the_settings_rule_out_is_not_used(package, module, old, new):
    root, edit = package
    words = ("second", "third", "fourth")
    before = digest(root, *words)
    edit(module, old, new)
    assert digest(root, *words) == before
    edit("room.ways", "x + 20", "x - 20")
    assert digest(root, *words) != before


def test_a_dictionary_of_numbers_is_kept_whole(package):
    root, edit = package
    edit("room.stage", "def dots():\n    return", "def dots():\n    return NUMBERS,")
    edit("room.stage", "import TABLE", "import NUMBERS, TABLE")
    before = digest(root, "second")
    edit("room.tables", '"second": 2', '"second": 4')
    assert digest(root, "second") != before


@pytest.mark.parametrize(
    "asked", ["getattr(module, name)(total)", "vars(handed)[name](total)", "handed.made_at_import(total)"]
)
def test_of_a_module_that_is_asked_for_what_is_not_written_all_is_used(package, asked):
    root, edit = package
    edit("room.stage", "module.asked(total)", asked)
    before = digest(root)
    edit("room.handed", "x + 17", "x - 17")
    assert digest(root) != before


def test_a_module_as_start_is_all_of_it(package):
    root, edit = package
    before = SourceTree(root).digest("room.stage")
    edit("room.stage", "return 1", "return 4")
    assert SourceTree(root).digest("room.stage") != before


def test_no_module_makes_names_in_a_way_that_a_digest_cannot_follow():
    for path in MODULES:
        named = {
            getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(ast.parse(path.read_text()))
        }
        if path.name != "__main__.py":
            assert named.isdisjoint({"import_module", "__import__", "globals", "exec", "attrgetter"}), path


def modules(*start: str) -> set[str]:
    return {name.rpartition(".")[0] for name in PACKAGE.used(*start)}


def test_selection_depends_on_the_transport_and_embedding_does_not():
    assert "transport.partial" in modules("selection.select.select")
    assert "transport.partial" not in modules("encoders.embed.embed")
    assert "scoring.metrics" not in modules("training.train.train")


def test_stages_use_no_more_of_the_package_than_they_call():
    train, generate = (
        PACKAGE.used("training.train.train"),
        PACKAGE.used("diffusion.generate.generate", "ddim"),
    )
    assert "diffusion.adm.losses" in train and "diffusion.adm.ddpm" not in train
    assert "diffusion.adm.ddpm" in generate and "diffusion.adm.ddim" not in generate
    assert "images.adm_files.BATCH" not in generate and "diffusion.generate.merge_samples" not in generate
    herding = PACKAGE.used("selection.select.select", "k-center", "random", "list")
    assert "selection.baselines.herding" in herding and "selection.baselines.k_center" not in herding
    assert "images.lists.read_list" not in herding
