"""Each environment pins what its rules import."""

import pytest
from needs import NAMES, distributions, pinned


@pytest.mark.parametrize("name", NAMES)
def test_an_environment_pins_every_package_that_its_rules_import(name):
    assert distributions(name) <= {requirement.split("==")[0].lower() for requirement in pinned(name)}
