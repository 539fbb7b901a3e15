"""What learners scored as they learned, kept with the models and summarised."""

import pytest

from smcatalog.core.errors import NotFoundError
from smcatalog.products import MethodChoice
from smcatalog.services.learning import draw_learning, learning
from smcatalog.services.produce import produce
from tests.factories import inputs as make

DAYS = make.days(14)
LEARNERS = ["linear_regression", "random_forest"]
BEST = MethodChoice(
    "ensemble",
    {
        "learners": LEARNERS,
        "options": {"tune": False},
        "parameters": {"random_forest": {"n_estimators": 10}},
    },
)


@pytest.fixture
def place(database, tmp_path):
    place = make.workspace(database.engine, tmp_path)
    make.put_static(place)
    for day in DAYS:
        make.put_day(place, day)
    return place


def test_scores_of_all_learners_are_kept_and_drawn(place, tmp_path):
    produce(place, make.definition(method=BEST), DAYS[0], DAYS[1])
    found = learning(place, "tiny")
    assert (found.version, found.own, found.borrowed) == (1, ("all",), ())
    rows = {row.learner: row for row in found.rows}
    assert list(rows) == [*LEARNERS, "combined"]
    # the planted relation is linear: it wins by the rule and makes all maps
    assert (rows["linear_regression"].chosen, rows["random_forest"].chosen) == (1, 0)
    assert rows["combined"].test == rows["linear_regression"].test
    assert rows["linear_regression"].test["rmse"] < 0.001 < rows["random_forest"].test["rmse"]
    shares = {(one.learner, one.feature): one.mean for one in found.importances}
    for learner in LEARNERS:
        assert sum(shares[learner, name] for name in ("swvl1", "elevation")) == pytest.approx(1)
    assert found.reports["all"]["split"]["alike"] is True
    drawn = draw_learning(found, tmp_path / "figures")
    assert [path.name for path in drawn] == ["r.png", "rmse.png", "importances.png"]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in drawn)


def test_a_stack_is_compared_with_its_learners(place):
    options = {"explained": 50}
    stack = MethodChoice("ensemble", {**BEST.parameters, "combine": "stacking", "options": options})
    produce(place, make.definition(method=stack), DAYS[0], DAYS[1])
    rows = {row.learner: row for row in learning(place, "tiny").rows}
    assert list(rows) == [*LEARNERS, "combined"]
    assert {row.chosen for row in rows.values()} == {0}  # none makes the maps alone
    assert rows["combined"].test["rmse"] < 0.001 < rows["random_forest"].test["rmse"]
    shares = [one for one in learning(place, "tiny").importances if one.learner == "combined"]
    assert sum(one.mean for one in shares) == pytest.approx(1)


def test_a_product_with_one_learner_has_nothing_to_compare(place):
    produce(place, make.definition(), DAYS[0], DAYS[0])
    with pytest.raises(NotFoundError, match="compares learners"):
        learning(place, "tiny")
