import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from inspect import signature

import numpy as np
import pytest

from smcatalog.core.errors import DefinitionError, NotFoundError
from smcatalog.core.time import Period
from smcatalog.methods import Samples, create, method_names
from smcatalog.methods.combiners import combiner_class
from smcatalog.products import (
    Accept,
    Definition,
    InSituChoice,
    Step,
    builtin_names,
    load_builtin,
    read_definition,
)
from smcatalog.products.learners import COMBINERS, METHODS, fits

GOOD = """
name = "mine"
title = "Mine"
description = "A product"
license = "CC-BY-4.0"
bbox = [146.0, -35.3, 147.0, -34.5]
grid = "M01"
depths = [[0.0, 0.05]]
first_day = 2018-08-01
training_until = 2019-08-01

[coarse]
source = "S"
variable = "sm"
grid = "M36"

[[covariates]]
variable = "swvl1"
source = "E"
time = "period_mean"

[[covariates]]
variable = "elevation"
source = "D"
time = "static"

[method]
name = "linear_regression"
"""


def read(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    return read_definition(path)


@pytest.mark.parametrize("name", builtin_names())
def test_products_that_come_along_are_whole(name):
    definition = load_builtin(name)
    assert definition.name == name
    assert definition.output_grid().base == "M01"
    assert create(definition.method.name, definition.method.parameters)


def test_a_definition_is_read(tmp_path):
    found = read(tmp_path, GOOD)
    assert found.training_until == date(2019, 8, 1)
    assert [c.variable for c in found.covariates] == ["swvl1", "elevation"]
    assert found.coarse.min_coverage == 0.5
    assert found.last_day is None


def test_what_a_definition_leaves_out(tmp_path):
    found = read(tmp_path, GOOD)
    assert (found.step, found.partitions, found.min_samples) == ("coarse", "all", 1)
    assert (found.coarse.accept, found.covariates[0].accept) == ("recommended", "retrieved")
    periods = GOOD.replace('grid = "M01"', 'grid = "M01"\nstep = "day"\npartitions = "16-day"', 1)
    periods = periods.replace('time = "static"', 'time = "holding"')
    found = read(tmp_path, periods)
    assert (found.step, found.partitions, found.min_samples) == ("day", "16-day", 100)
    assert [c.max_age_days for c in found.covariates] == [0, 16]


def test_the_demo_covers_whole_cells_of_the_simulated_region():
    from ingest.world.landscape import landscape
    from ingest.world.presets import preset

    simulated = landscape(preset("rao2022"), 1, 300).grid
    demo = load_builtin("demo")
    assert demo.output_grid().name == simulated.name
    assert demo.coarse_grid().shape == tuple(n // 36 for n in simulated.shape)


def test_words_and_days_do_not_make_a_new_recipe_but_all_else_does(tmp_path):
    found = read(tmp_path, GOOD)
    same = replace(found, title="Other", description="x", last_day=date(2030, 1, 1))
    assert same.recipe_fingerprint == found.recipe_fingerprint
    others = [
        replace(found, training_until=date(2019, 8, 2)),
        replace(found, covariates=found.covariates[::-1]),
        replace(found, coarse=replace(found.coarse, min_coverage=0.6)),
        replace(found, bbox=(146.0, -35.3, 147.0, -34.6)),
        replace(found, method=replace(found.method, parameters={"x": 1})),
        replace(found, coarse=replace(found.coarse, accept=Accept.RETRIEVED)),
        replace(found, step=Step.DAY),
        replace(found, min_samples=2),
    ]
    assert len({d.recipe_fingerprint for d in (found, *others)}) == 9


BEST = GOOD.replace(
    'name = "linear_regression"',
    """name = "ensemble"
parameters.learners = ["svr", "xgboost"]

[method.parameters.options]
folds = 4

[method.parameters.parameters.svr]
C = 3

[method.parameters.grids.xgboost]
max_depth = [3, 6]
gamma = [0, 0.1]
""",
)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"ensemble"', '"ensembel"', r"line 28: 'method.name' must be one of .*xgboost.*, found 'ensembel'"),
        ('"xgboost"]', '"xgbost"]', r"'method.parameters.learners' must be a list of one or more of .*xgboost"),
        ('"xgboost"]', '"svr"]', r"'method.parameters.learners' must be a list that names each learner once"),
        ("folds = 4", "fold = 4", r"line 32: 'method.parameters.options.fold' must be one of .*folds.*found 4"),
        ("folds = 4", "folds = 1", r"line 32: 'method.parameters.options.folds' must be a whole number, 2 or more"),
        ("folds = 4", "tune = 1", r"line 32: 'method.parameters.options.tune' must be true or false"),
        ("folds = 4", 'folds_by = "cell"', r"line 32: .*folds_by' must be one of random, cells, days"),
        ("C = 3", "c = 3", r"line 35: 'method.parameters.parameters.svr.c' must be one of C, epsilon"),
        ("C = 3", 'C = "3"', r"line 35: 'method.parameters.parameters.svr.C' must be a number, found '3'"),
        ("grids.xgboost]", "grids.catboost]", r"line 37: 'method.parameters.grids.catboost' must be one of svr, xgboost"),
        ("max_depth =", "depth =", r"line 38: 'method.parameters.grids.xgboost.depth' must be one of .*max_depth"),
        ("[3, 6]", "[3, 6.5]", r"line 38: .*max_depth' must be a list of values to choose from, each a whole number"),
        ("[3, 6]", "[]", r"line 38: .*max_depth' must be a list of values"),
        ("[3, 6]", "3", r"line 38: .*max_depth' must be a list of values"),
        ("folds = 4", "[method.parameters.grids.svr]\nC = [true]", r"line 33: .*svr.C' must be a list of values to choose from, each a number"),
    ],
)  # fmt: skip
def test_a_wrong_method_is_told_line_and_key(tmp_path, old, new, said):
    assert old in BEST
    with pytest.raises(DefinitionError, match=said):
        read(tmp_path, BEST.replace(old, new, 1))


AVERAGED = GOOD.replace(
    'name = "linear_regression"',
    """name = "bayesian_model_averaging"

[method.parameters]
seasons = 2

[method.parameters.windows]
last_side = 7

[method.parameters.grids.support]
cost = [0.3, 1.0]

[in_situ]
first_day = 2018-08-01
last_day = 2018-08-05
""",
).replace("[coarse]", "look_ahead_days = 1\n[coarse]", 1)


def test_an_average_of_local_learners_is_read(tmp_path):
    found = read(tmp_path, AVERAGED)
    assert found.window == (1, 1)
    assert (found.ahead_days, found.reach_days) == (1, 1)
    assert found.in_situ == InSituChoice(date(2018, 8, 1), date(2018, 8, 5))
    assert create(found.method.name, found.method.parameters)
    assert Definition.from_dict(found.as_dict()) == found
    chosen = read(tmp_path, AVERAGED + 'networks = ["OZNET"]\n')
    assert chosen.in_situ.networks == ("OZNET",)
    assert Definition.from_dict(chosen.as_dict()) == chosen
    assert chosen.recipe_fingerprint != found.recipe_fingerprint
    assert "in_situ" not in read(tmp_path, GOOD).as_dict()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("seasons = 2", "seasons = 5", r"line 32: 'method.parameters.seasons' must be 1, 2, 3, 4, 6 or 12, found 5"),
        ("seasons = 2", 'estimator = "mle"', r"line 32: 'method.parameters.estimator' must be one of em, mcmc"),
        ("seasons = 2", "zones = 0", r"line 32: 'method.parameters.zones' must be a whole number, 1 or more"),
        ("seasons = 2", "prior = {weight = 1}", r"'method.parameters.prior.weight' must be one of concentration"),
        ("last_side = 7", "last_side = 2", r"line 35: 'method.parameters.windows.last_side' .*not below first_side \(3\)"),
        ("last_side = 7", 'order = "random"', r"line 35: 'method.parameters.windows.order' must be one of alternate"),
        ("last_side = 7", "width = 7", r"line 35: 'method.parameters.windows.width' must be one of fewest, first_days"),
        ("grids.support", "grids.svr", r"'method.parameters.grids.svr' must be one of boosting, forest, linear, support"),
        ("cost = [0.3, 1.0]", "cost = 0.3", r"line 38: 'method.parameters.grids.support.cost' must be a list"),
        ("look_ahead_days = 1", "", r"'look_ahead_days' must be .* at least 1: so far ahead windows in time reach"),
        ("last_day = 2018-08-05", "last_day = 2030-01-01", r"line 42: 'in_situ.last_day' must be a day .* to training_until"),
        ("last_day = 2018-08-05", "last_day = 2018-08-05\nnetworks = []", r"line 43: 'in_situ.networks' must be a list"),
        ("[in_situ]\nfirst_day = 2018-08-01\nlast_day = 2018-08-05\n", "", r"'in_situ' must be a table"),
        ('name = "bayesian_model_averaging"', 'name = "linear_regression"', r"must be left out"),
    ],
)  # fmt: skip
def test_a_wrong_average_is_told_line_and_key(tmp_path, old, new, said):
    assert old in AVERAGED
    with pytest.raises(DefinitionError, match=said):
        read(tmp_path, AVERAGED.replace(old, new, 1))


def test_stations_teach_methods_that_learn_from_them_alone(tmp_path):
    text = GOOD + "[in_situ]\nfirst_day = 2018-08-01\nlast_day = 2018-08-05\n"
    with pytest.raises(DefinitionError, match=r"'in_situ' must be left out: method 'linear_"):
        read(tmp_path, text)


def test_methods_without_parameters_have_none(tmp_path):
    with pytest.raises(DefinitionError, match=r"line 30: 'method.parameters.x' must be left out"):
        read(tmp_path, GOOD + "[method.parameters]\nx = 1\n")


def test_an_ensemble_is_read(tmp_path):
    found = read(tmp_path, BEST)
    assert found.method.parameters["grids"] == {"xgboost": {"max_depth": [3, 6], "gamma": [0, 0.1]}}
    assert create(found.method.name, found.method.parameters)
    assert Definition.from_dict(found.as_dict()) == found


@pytest.mark.parametrize(("options", "least"), [("folds = 4", 14), ("tune = false", 8)])
def test_the_best_of_several_learners_needs_samples_for_halves_and_folds(tmp_path, options, least):
    text = BEST.replace("folds = 4", options).replace(
        "[coarse]", 'partitions = "16-day"\nmin_samples = 7\n[coarse]'
    )
    with pytest.raises(DefinitionError, match=f"at least {least}"):
        read(tmp_path, text)
    parameters = read(tmp_path, BEST.replace("folds = 4", options)).method.parameters
    rng = np.random.default_rng(0)
    n = np.arange(least)
    data = Samples(
        ("a", "b"),
        rng.random((least, 2)),
        rng.random((least, 1)),
        n,
        np.datetime64("2018-08-01") + n,
    )
    create("ensemble", {**parameters, "learners": ["xgboost"]}).fit(data)


@pytest.mark.parametrize("name", method_names())
def test_what_a_definition_may_say_is_what_methods_take(name):
    known = create(name, {}).get_params()
    assert set(METHODS[name]) == set(known)
    for key, value in known.items():
        assert value is None or fits(
            list(value) if isinstance(value, tuple) else value, METHODS[name][key]
        )


@pytest.mark.parametrize("name", [name for name, options in COMBINERS.items() if options])
def test_what_a_definition_may_say_is_what_combiners_take(name):
    known = signature(combiner_class(name)).parameters
    assert set(COMBINERS[name]) == set(known)
    assert all(fits(one.default, COMBINERS[name][key]) for key, one in known.items())


def test_rao2022_is_the_papers():
    found = load_builtin("rao2022")
    assert [c.variable for c in found.covariates] == [
        "lst_day", "albedo_wsa_b7", "lai", "ndwi", "lswi", "nsdsi", "ndvi", "evi", "elevation", "slope", "aspect",
        "sand", "silt", "clay",
    ]  # fmt: skip
    assert found.method.parameters["learners"] == [
        "linear_regression", "svr", "ann", "random_forest", "xgboost",
    ]  # fmt: skip
    assert (found.min_samples, found.partitions, found.step) == (100, "16-day", "day")
    assert found.coarse_grid().shape == load_builtin("demo").coarse_grid().shape


def test_the_nearest_pixel_is_a_choice_that_leaves_other_recipes_alone(tmp_path):
    plain = read(tmp_path, GOOD)
    assert "aggregate" not in plain.as_dict()["coarse"]
    nearest = read(tmp_path, GOOD.replace('source = "S"', 'source = "S"\naggregate = "nearest"'))
    assert nearest.coarse.aggregate == "nearest"
    assert nearest.recipe_fingerprint != plain.recipe_fingerprint
    assert Definition.from_dict(nearest.as_dict()) == nearest
    assert Definition.from_dict(plain.as_dict()) == plain
    with pytest.raises(
        DefinitionError, match=r"line 14: 'coarse.aggregate' must be one of 'mean', 'nearest'"
    ):
        read(tmp_path, GOOD.replace('source = "S"', 'source = "S"\naggregate = "median"'))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name = "mine"', 'name = "My Product"', r"line 2: 'name' must be lower-case"),
        ("bbox = [146.0, -35.3, 147.0, -34.5]", "bbox = [147, -35.3, 146, -34.5]", r"line 6: 'bbox'"),
        ("bbox = [146.0, -35.3, 147.0, -34.5]", "bbox = 3", r"line 6: 'bbox' must be \[west"),
        ('grid = "M01"', 'grid = "M02"', r"line 7: 'grid' must be the name of a grid .*M01"),
        ("depths = [[0.0, 0.05]]", "depths = [[0.1, 0.05]]", r"line 8: 'depths'"),
        ("first_day = 2018-08-01", 'first_day = "2018-08-01"', r"line 9: 'first_day' must be a day"),
        ('time = "static"', 'time = "sometimes"', r"line 25: 'covariates#2.time' .*'static'"),
        ('variable = "elevation"', 'variable = "height"', r"line 23: 'covariates#2.variable'"),
        ('source = "S"', "", r"line 12: 'coarse.source' must be the name of a source, found nothing"),
        ('title = "Mine"', 'title = "Mine"\ntitel = "x"', r"line 4: 'titel' must be one of"),
        ('variable = "elevation"', 'variable = "swvl1"', r"different variables"),
        ('source = "S"', 'source = "S"\naccept = "good"', r"line 14: 'coarse.accept' must be one of 'rec"),
        ('time = "static"', 'time = "static"\nmax_age_days = 3', r"line 26: 'covariates#2.max_age_days' .*'holding'"),
        ('time = "static"', 'time = "static"\ndays = 3', r"line 26: 'covariates#2.days' .*'window_sum' or 'antecedent'"),
        ('time = "static"', 'time = "window_sum"\ndays = 2.5', r"line 26: 'covariates#2.days' .*a whole number of days from 1"),
        ('time = "static"', 'time = "antecedent"\ndays = 0.0', r"line 26: 'covariates#2.days' .*a number of days above 0"),
        ('time = "static"', 'time = "antecedent"', r"'covariates#2.days' .*a number of days above 0"),
        ('time = "static"', 'time = "holding"\nmax_age_days = -1', r"line 26: 'covariates#2.max_age_days' .*0 or more"),
        ('grid = "M01"', 'grid = "M01"\nstep = "week"', r"line 8: 'step' must be one of 'coarse', 'day', found 'week'"),
        ('grid = "M01"', 'grid = "M01"\npartitions = "8-day"', r"line 8: 'partitions' must be one of 'all', '16-day'"),
        ('grid = "M01"', 'grid = "M01"\npartitions = "16-day"\nmin_samples = 3', r"line 9: 'min_samples' .*at least 4"),
        ('time = "static"', 'time = "interpolated"', r"'look_ahead_days' must be a number of days, at least 15: so far ahead 'elevation' is read, found nothing"),
        ('time = "static"', 'time = "smoothed"\nwithin_days = 61', r"line 26: 'covariates#2.within_days' must be a number from 1 to 60"),
        ('time = "static"', 'time = "smoothed"\nhalf_width = 2\norder = 5', r"line 27: 'covariates#2.order' must be at most 4: the polynomial goes through 5 days"),
        ('time = "static"', 'time = "interpolated"\norder = 4', r"line 26: 'covariates#2.order' must be left out, or time 'smoothed'"),
        ('time = "static"', 'time = "static"\nwithin_days = 4', r"line 26: 'covariates#2.within_days' .*'centred_mean' or 'interpolated' or 'smoothed'"),
        ('time = "static"', 'time = "static"\nclasses = {a = [1]}', r"line 26: 'covariates#2.classes' must be left out: elevation is not of classes"),
        ('variable = "elevation"', 'variable = "land_cover_pft"\nclasses = {a = [1], b = [1, 2]}', r"line 24: 'covariates#2.classes' must be groups of classes from 0 to 11.* one group at most"),
        ('variable = "elevation"', 'variable = "land_cover_pft"\nclasses = {a = [12]}', r"line 24: 'covariates#2.classes' must be groups"),
        ('variable = "elevation"', 'variable = "land_cover_pft"\nclasses = {"A b" = [1]}', r"line 24: 'covariates#2.classes' must be groups"),
        ('variable = "elevation"\nsource = "D"\ntime = "static"', 'variable = "zone"\nsource = "D"\ntime = "period_mean"', r"line 25: 'covariates#2.time' must be one of 'static', 'day', 'holding': zone is of classes"),
        ('variable = "elevation"\nsource = "D"\ntime = "static"', 'variable = "vv"\nsource = "D"\ntime = "smoothed"', r"line 25: 'covariates#2.time' must be not 'smoothed': values of vv"),
        ('grid = "M01"', 'grid = "M01"\nseason = ["04-31", "11-01"]', r"line 8: 'season' must be \[first, last\] day of the year"),
        ('grid = "M01"', 'grid = "M01"\nday_of_year = "yes"', r"line 8: 'day_of_year' must be one of 'number', 'circle'"),
        ("[method]", "[method", r"not valid TOML"),
    ],
)  # fmt: skip
def test_a_wrong_definition_is_told_line_and_key(tmp_path, old, new, said):
    assert old in GOOD
    with pytest.raises(DefinitionError, match=said):
        read(tmp_path, GOOD.replace(old, new, 1))


def test_missing_files_and_products_are_named(tmp_path):
    with pytest.raises(DefinitionError, match="cannot read"):
        read_definition(tmp_path / "none.toml")
    with pytest.raises(NotFoundError, match="yanco"):
        load_builtin("nowhere")


AHEAD = GOOD.replace(
    'time = "static"',
    'time = "smoothed"\n\n[[covariates]]\nvariable = "vv"\nsource = "S1"\ntime = "centred_mean"\n\n'
    '[[covariates]]\nvariable = "land_cover_pft"\nsource = "M"\ntime = "holding"\n'
    "classes = {forest = [1, 2], crop = [7]}\n",
).replace(
    'grid = "M01"',
    'grid = "M01"\nlook_ahead_days = 20\nseason = ["11-01", "02-29"]\nday_of_year = "circle"',
    1,
)


def test_what_is_read_ahead_grouped_and_of_the_calendar(tmp_path):
    found = read(tmp_path, AHEAD)
    smooth, radar = found.covariates[1:3]
    assert (smooth.within_days, smooth.half_width, smooth.order, smooth.ahead_days) == (
        15,
        5,
        4,
        20,
    )
    assert (radar.within_days, radar.ahead_days, radar.reach_days) == (6, 6, 6)
    assert found.feature_names == (
        *("swvl1", "elevation", "vv", "land_cover_pft_forest", "land_cover_pft_crop"),
        *("day_of_year_sine", "day_of_year_cosine"),
    )
    assert found.class_features == frozenset()
    assert (found.ahead_days, found.look_ahead_days) == (20, 20)
    days = [date(2019, m, d) for m, d in ((10, 31), (11, 1), (12, 31), (2, 28), (3, 1))]
    assert [found.in_season(day) for day in days] == [False, True, True, True, False]
    assert found.teaches(date(2019, 7, 12))
    assert not found.teaches(date(2019, 7, 13))
    plain = json.loads(json.dumps(found.as_dict()))
    assert Definition.from_dict(plain) == found
    assert Definition.from_dict(plain).recipe_fingerprint == found.recipe_fingerprint


def test_recipes_from_before_there_was_such_a_choice_stay_what_they_are(tmp_path):
    plain = read(tmp_path, GOOD).as_dict()
    assert not plain.keys() & {"season", "day_of_year"}
    assert plain["covariates"][0].keys() == {
        *("variable", "source", "time", "accept", "max_age_days"),
    }


def test_the_product_of_the_stack_covers_whole_cells_and_makes_its_features():
    from ingest.world.landscape import landscape
    from ingest.world.presets import preset

    simulated = landscape(preset("stacking"), 1, 300).grid
    found = load_builtin("stacking")
    assert found.output_grid().name == simulated.name
    assert found.coarse_grid().shape == tuple(n // 9 for n in simulated.shape)
    assert found.class_features == {"zone"}
    assert len(found.feature_names) == 15 + 3 + 1  # land cover is four features; and the zone
    assert found.teaches(date(2019, 11, 1))


HOURS = GOOD.replace("[coarse]", 'step = "day"\n[coarse]\nhours = [-3, 3]', 1)


def test_the_hours_that_make_a_day_are_chosen(tmp_path):
    coarse = read(tmp_path, HOURS).coarse
    assert coarse.hours == (-3.0, 3.0)

    def day_of(day, hour):
        start = datetime(2018, 8, day, hour, tzinfo=UTC)
        return coarse.day_of(Period(start, start + timedelta(hours=3)))

    # three hours on both sides of midnight: from the evening before on
    assert [day_of(1, hour) for hour in range(0, 24, 3)] == [
        date(2018, 8, 1), None, None, None, None, None, None, date(2018, 8, 2)
    ]  # fmt: skip
    assert replace(coarse, hours=(6, 9)).day_of(Period.of_day(date(2018, 8, 1))) is None
    assert replace(coarse, hours=None).day_of(Period.of_day(date(2018, 8, 1))) == date(2018, 8, 1)


def test_a_recipe_without_hours_keeps_its_fingerprint(tmp_path):
    plain, chosen = (
        read(tmp_path, GOOD.replace("[coarse]", 'step = "day"\n[coarse]', 1)),
        read(tmp_path, HOURS),
    )
    assert "hours" not in plain.as_dict()["coarse"]
    assert plain.recipe_fingerprint != chosen.recipe_fingerprint


@pytest.mark.parametrize(
    "hours", ["[3]", "[3, 3]", "[5, 2]", "[-30, 0]", "[0, 25]", '["a", 1]', "6"]
)
def test_hours_that_make_no_day_are_refused(tmp_path, hours):
    with pytest.raises(DefinitionError, match=r"coarse\.hours' must be \[first, last\]"):
        read(tmp_path, HOURS.replace("[-3, 3]", hours))


def test_hours_are_for_daily_maps(tmp_path):
    with pytest.raises(DefinitionError, match="or step 'day'"):
        read(tmp_path, HOURS.replace('step = "day"', 'step = "coarse"'))
