"""The lab's experiments: each has a folder of its own, a recipe that exists, and changes that it takes."""

from __future__ import annotations

import pytest

from benchmarks.studies.lab import SCALES, SUITES, run_folder
from docs.tools.lab_pages import RECIPES_PAGE, RESULTS_PAGE, recipes_page, results_page
from seglab.networks.build import network_spec
from seglab.recipes.recipe import load_recipe


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("suite", SUITES)
def test_experiments_are_apart_and_can_be_built(suite: str, scale: str) -> None:
    experiments = SUITES[suite]
    assert len({run_folder(experiment, suite, scale) for experiment in experiments}) == len(experiments)
    for experiment in experiments:
        network_spec(load_recipe(experiment.recipe, experiment.changes(scale)))


def test_the_pages_are_what_the_figures_say() -> None:
    for file, page in ((RECIPES_PAGE, recipes_page()), (RESULTS_PAGE, results_page())):
        assert file.read_text() == page, "run: python -m docs.tools.lab_pages"
