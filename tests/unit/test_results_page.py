"""The page of results: its numbers are those of the answers, its losses are marked, what is kept is not asked again."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import replace
from datetime import date

import pytest

from smcatalog.core.errors import NotFoundError, SmcatalogError, UsageError
from smcatalog.products import builtin_names, load_builtin
from smcatalog.products.reading import parse_definition
from smcatalog.results.__main__ import main
from smcatalog.results.entries import ENTRIES, entry
from smcatalog.results.measure import World, recipe, region, sources
from smcatalog.results.page import page, product_section, stations_section
from smcatalog.results.steps import Answered, Commands, Steps
from smcatalog.results.tables import mean_of, worse
from smcatalog.results.toml import as_toml


def scores(n, bias, rmse, ubrmse, r):
    return {"n": n, "bias": bias, "rmse": rmse, "ubrmse": ubrmse, "r": r}


def truth(ours, flat, days=20):
    def row(subject, values, within):
        return {
            "subject": subject, "days": days, "scores": values, "spatial_r": 0.712, "within_cell_r": within,
        }  # fmt: skip

    return {
        "rows": [row("map", ours, 0.653), row("coarse", flat, None), row("map, all", ours, 0.642)]
    }


BETTER = truth(
    scores(1234567, 0.0012, 0.0371, 0.0365, 0.811), scores(1234567, 0.0023, 0.0444, 0.044, 0.723)
)
LOSES = truth(scores(456, 0.0012, 0.0391, 0.0355, 0.701), scores(456, 0.0023, 0.0382, 0.038, 0.745))


def learner(name, chosen, train, test):
    def of(r):
        return {"r": r, "rmse": 0.0311, "bias": 0.0, "ubrmse": 0.0311}

    return {
        "learner": name,
        "partitions": 23,
        "chosen": chosen,
        "train": of(train),
        "test": of(test),
    }


def product(name="rao2022", whole=BETTER, months=None):
    split = {"partitions": 22, "n": 4321, "scores": scores(4321, 0.0004, 0.0456, 0.0455, 0.567)}
    return {
        "name": name,
        "what": "as declared",
        "versions": {"smcatalog": "0.1.0", "numpy": "2.0"},
        "produced": {
            "version": 1,
            "days": ["2018-01-03", "2018-02-04"],
            "refused": [{"day": "2018-01-01", "reason": "too few samples"}],
        },
        "truth": whole,
        "months": months or {"2018-01": BETTER, "2018-02": LOSES},
        "scores": {
            "own": ["2018001"] * 23,
            "borrowed": ["2018017"],
            "rows": [learner("xgboost", 17, 0.991, 0.812), learner("combined", 0, 0.987, 0.834)],
            "splits": [{"split": "cells_left_out", **split}],
            "reports": {},
        },
        "stations": {
            "rows": [
                {"band": 1, "map": scores(20, 0.01, 0.05, 0.04, 0.6), "coarse": scores(18, 0.03, 0.07, 0.06, 0.5)},
                {"band": 1, "map": scores(30, 0.03, 0.07, 0.06, 0.2), "coarse": scores(28, 0.05, 0.09, 0.08, 0.7)},
                {"band": 2, "map": scores(90, 0.5, 0.5, 0.5, 0.9), "coarse": scores(90, 0.5, 0.5, 0.5, 0.9)},
            ]
        },
    }  # fmt: skip


def averaged():
    """A product that weighs learners by stations."""
    weights = {"forest": 0.5, "linear": 0.25, "support": 0.2, "boosting": 0.05}
    zone = {
        "observations": 1461, "em": {"weights": weights}, "mcmc": {"weights": {**weights, "forest": 0.512}},
        "agree": True, "converged": True,
    }  # fmt: skip
    found = product("bma")
    found["scores"]["rows"] = []
    found["experiments"] = {
        "training": 1461, "testing": 2345, "first": "2019-04-01", "last": "2019-11-01",
        "networks": {"SIM": {"forest": scores(2345, 0.01, 0.06, 0.05, 0.7), "mixture": scores(2345, 0.0, 0.05, 0.04, 0.75)}},
        "weights": {"0": zone, "1": {**zone, "agree": False}, "all": {**zone, "converged": False}},
        "predictor_left_out": [{"left_out": "albedo", "change_r": -0.0446, **scores(2041, 0.01, 0.06, 0.05, 0.7)}],
        "observations_removed": [{"removed": 0.3, "left": 1022.4, "rmse": 0.0547, "r": 0.747, "r_sd": 0.002}],
    }  # fmt: skip
    return found


def measured(*products):
    return {
        "name": "rao2022",
        "world": {
            "preset": "rao2022", "size_km": 300.0, "seed": 1, "trees": 1.0, "first": "2018-01-01", "last": "2018-12-31",
            "files": {"SPL3SMP": 365, "MOD11A1": 700, "truth": 366},
        },
        "days": ["2018-01-01", "2018-12-31"],
        "ingest": {"outcomes": {"ingested": 1065}, "refused": []},
        "products": list(products or (product(),)),
    }  # fmt: skip


def cells(text, start):
    """Cells of the first row that begins like this."""
    (row, *_) = [line for line in text.splitlines() if line.startswith(f"| {start}")]
    return [cell.strip() for cell in row.strip("|").split("|")]


class TestNumbers:
    def test_are_those_of_the_answers(self):
        text = product_section(measured(), "scripts/results rao2022 --seed 1")
        assert cells(text, "`rao2022` | map |") == [
            "`rao2022`", "map", "20", "1,234,567", "0.0012", "0.0371", "0.0365", "0.811", "0.712", "0.653", "",
        ]  # fmt: skip
        assert cells(text, "`rao2022` | coarse laid flat")[4:] == [
            "0.0023", "0.0444", "0.0440", "0.723", "0.712", "–", "",
        ]  # fmt: skip
        assert cells(text, "`rao2022` | coarse cells, five groups") == [
            "`rao2022`", "coarse cells, five groups", "22", "4,321", "0.0004", "0.0456", "0.0455", "0.567",
        ]  # fmt: skip
        assert "1065 files of SPL3SMP, MOD11A1, 0 of them refused" in text
        assert "`scripts/results rao2022 --seed 1`" in text
        assert "preset rao2022, edges of 300 km, seed 1, 2018-01-01 to 2018-12-31" in text
        assert "smcatalog 0.1.0, numpy 2.0" in text

    def test_papers_stand_beside(self):
        text = product_section(measured(), "x")
        assert cells(text, "xgboost") == [
            "xgboost", "17", "0.991", "0.812", "0.0311", "0.991", "0.861", "0.029",
        ]  # fmt: skip
        assert cells(text, "combined")[1:5] == ["", "0.987", "0.834", "0.0311"]
        assert "On the test part xgboost had a smaller" not in text
        assert "1 partitions use the model of the one before" in text

    def test_an_average_stands_beside_its_learners_at_later_observations(self):
        text = product_section({**measured(averaged()), "name": "bma"}, "x")
        assert cells(text, "SIM | mixture") == [
            "SIM", "mixture", "2,345", "0.0000", "0.0500", "0.0400", "0.750",
        ]  # fmt: skip
        assert cells(text, "0 | 1,461")[2] == "0.500 / 0.512"
        assert [cells(text, f"{zone} | 1,461")[-1] for zone in ("0", "1", "all")] == [
            "yes", "**no**", "chains apart",
        ]  # fmt: skip
        assert cells(text, "albedo")[-1] == "-0.045"
        assert cells(text, "30%") == ["30%", "1,022", "0.0547", "0.747", "0.002"]
        assert "wins" not in text

    def test_a_learner_that_the_rule_passed_over_is_told(self):
        found = product()
        svr = learner("svr", 0, 0.9, 0.85)
        svr["test"]["rmse"] = 0.0299
        found["scores"]["rows"].insert(0, svr)
        assert "**On the test part svr had a smaller RMSE" in product_section(measured(found), "x")

    def test_few_partitions_have_a_column_each(self):
        found = product("stacking")
        one = {"r": 0.9, "rmse": 0.02}
        report = {"learners": {"xgboost": {"test": one}}, "combined": {"test": one | {"r": 0.95}}}
        zones = ["all, zone 1", "all, zone 2"]
        found["scores"] |= {"own": zones, "reports": dict.fromkeys(zones, report)}
        text = product_section(measured(found) | {"name": "stacking"}, "x")
        assert cells(text, "combined") == [
            "combined", "0.950 / 0.0200", "0.950 / 0.0200", "0.954 to 0.989 / 0.011 to 0.018",
        ]  # fmt: skip

    def test_stations_are_averaged_and_other_depths_left_out(self):
        text = product_section(measured(), "x")
        after = text[text.index("### At simulated stations") :]
        assert cells(after, "`rao2022` | map |") == [
            "`rao2022`", "map", "2", "50", "0.0200", "0.0600", "0.0500", "0.400", "R",
        ]  # fmt: skip

    def test_days_without_a_map_are_told(self):
        assert (
            "without a map: 1, the first of them 2018-01-01 (too few samples)"
            in product_section(measured(), "x")
        )


class TestLosses:
    def test_a_month_that_loses_is_marked(self):
        text = product_section(measured(), "x")
        assert cells(text, "2018-01")[-1] == ""
        assert cells(text, "2018-02")[-1] == "RMSE, R"
        assert "loses in no score. By months it loses in RMSE in 1 of 2 months (2018-02)" in text

    def test_a_product_that_loses_says_so(self):
        text = product_section(measured(product(whole=LOSES)), "x")
        assert (
            "**loses** against the coarse product laid flat: RMSE 0.0391 instead of 0.0382, "
            "R 0.701 instead of 0.745."
        ) in text
        assert cells(text, "`rao2022` | map |")[-1] == "RMSE, R"

    def test_by_however_little(self):
        flat = scores(9, -0.01, 0.05, 0.04, 0.6)
        assert worse(flat, flat) == []
        assert worse(scores(9, 0.0100001, 0.05, 0.04, 0.6), flat) == ["bias"]
        assert worse(scores(9, 0.0, 0.0500001, 0.0400001, 0.5999999), flat) == [
            "RMSE",
            "ubRMSE",
            "R",
        ]

    def test_what_is_not_defined_is_not_compared(self):
        assert worse(scores(0, None, None, None, None), scores(9, 0.0, 0.1, 0.1, 0.5)) == []
        assert mean_of([scores(2, 0.0, 0.1, 0.1, None), scores(3, 0.2, 0.3, 0.3, 0.5)])["r"] == 0.5

    def test_learners_at_stations_beside_both_baselines(self):
        rows = [
            ("coarse", scores(40, 0.0, 0.07, 0.06, 0.6)),
            ("random_forest on coarse alone", scores(40, 0.0, 0.06, 0.05, 0.5)),
            ("svr", scores(40, 0.0, 0.065, 0.055, 0.55)),
        ]
        report = {
            "product": "yanco", "first": "2018-08-02", "last": "2020-07-30", "left_out_together": [["N/a", "N/b"]],
            "rows": [{"subject": name, "scores": one | {"stations": 17}} for name, one in rows],
        }  # fmt: skip
        found = {
            "product": "yanco", "versions": {"numpy": "2.0"}, "ingest": {"refused": [{"name": "a", "reason": "b"}]},
            "together": {"station": report, "cell": report},
        }  # fmt: skip
        text = stations_section(found, "x")
        assert cells(text, "svr")[-2:] == ["R", "RMSE, ubRMSE"]
        assert cells(text, "coarse")[-2:] == ["", ""]
        assert "left out in 16 groups (together: N/a, N/b)" in text


class TestPage:
    def test_sections_of_other_products_stay(self):
        first = page({"rao2022": "## rao2022\n\nold", "yanco": "## yanco\n\nkept"})
        second = page({"rao2022": "## rao2022\n\nnew", "stacking": "## stacking"}, first)
        assert "old" not in second
        titles = re.findall(r"^## (.*)", second, re.MULTILINE)
        assert titles == ["rao2022", "stacking", "yanco"]
        assert "kept" in second
        assert page({}, second) == second

    def test_made_twice_it_is_the_same(self):
        found = json.loads(json.dumps(measured()))
        assert product_section(found, "x") == product_section(measured(), "x")


class TestSteps:
    @staticmethod
    def steps(folder, ran, broken=()):
        def run(*arguments):
            ran.append(arguments[0])
            if arguments[0] in broken:
                raise SmcatalogError("cut off")
            return Answered(0, json.dumps({"of": arguments[0]}))

        return Steps(folder, run)

    def test_a_run_that_was_cut_off_goes_on_where_it_was(self, tmp_path):
        ran = []

        def all_of(steps):
            return [steps.ask(name, name, "--json")["answer"] for name in ("one", "two", "three")]

        with pytest.raises(SmcatalogError, match="cut off"):
            all_of(self.steps(tmp_path, ran, broken=["two"]))
        assert ran == ["one", "two"]
        assert all_of(self.steps(tmp_path, ran)) == [{"of": "one"}, {"of": "two"}, {"of": "three"}]
        assert ran == ["one", "two", "two", "three"]
        all_of(self.steps(tmp_path, ran))
        assert len(ran) == 4

    def test_what_changed_and_all_that_follows_is_asked_again(self, tmp_path):
        ran = []

        def ask(text):
            steps = self.steps(tmp_path, ran)
            steps.ask("world", "world", "--json")
            for name, given in (("a", text), ("b", "")):
                branch = steps.branch(name)
                branch.ask("add", f"add-{name}", given=given)
                branch.ask("made", f"made-{name}", "--json")

        ask("first")
        ran.clear()
        ask("second")
        assert ran == ["add-a", "made-a"]  # the other branch does not mind

    def test_only_what_is_wanted_is_kept(self, tmp_path):
        steps = self.steps(tmp_path, [])
        assert steps.ask("x", "x", "--json", keep=len)["answer"] == 1
        assert steps.ask("y", "y")["answer"] is None

    def test_a_damaged_answer_is_named(self, tmp_path):
        (tmp_path / "x.json").write_text("{", "utf-8")
        with pytest.raises(SmcatalogError, match="remove it"):
            self.steps(tmp_path, []).ask("x", "x")

    def test_a_command_that_fails_is_quoted(self, tmp_path):
        with pytest.raises(SmcatalogError, match=r"(?s)ended with 2.*No such command"):
            Commands(tmp_path, {})("nonsense")


class TestRecipes:
    @pytest.mark.parametrize("name", builtin_names())
    def test_toml_reads_back_as_it_was(self, name):
        from importlib.resources import files

        text = files("smcatalog.products").joinpath("builtin", f"{name}.toml").read_text("utf-8")
        assert tomllib.loads(as_toml(tomllib.loads(text))) == tomllib.loads(text)

    def test_toml_of_what_has_no_place(self):
        with pytest.raises(UsageError, match="no place"):
            as_toml({"a": object()})

    @pytest.mark.parametrize(
        ("name", "variant"), [(one.name, v.name) for one in ENTRIES.values() for v in one.variants]
    )
    def test_variants_are_products(self, name, variant):
        one = entry(name)
        (chosen,) = (v for v in one.variants if v.name == variant)
        builtin = load_builtin(name)
        found = parse_definition(
            recipe(one, chosen, builtin.coarse_grid().bbox()), f"{variant}.toml"
        )
        assert (found.name, found.first_day, found.last_day) == (variant, one.first, one.last)
        # drawn in a little and read again: the same cells
        assert found.coarse_grid() == builtin.coarse_grid()
        assert (found.method == builtin.method) == (variant != "stacking-unzoned")
        if variant == "rao2022-retrieved":
            assert found.coarse.accept == "retrieved"
        if variant == "stacking-unzoned":
            assert "zone" not in {c.variable for c in found.covariates}

    def test_only_what_a_product_reads_is_simulated(self):
        assert sources("rao2022") == [
            "ISMN", "MCD43D58", "MOD09A1", "MOD11A1", "MOD13A2", "MOD15A2H", "SPL3SMP", "SRTMGL3", "SoilGrids",
        ]  # fmt: skip
        assert "zones" in sources("stacking")

    def test_windows_in_time_are_whole(self):
        one = entry("stacking")
        assert (one.world_first, one.world_last) == (date(2019, 3, 1), date(2019, 11, 30))
        assert parse_definition(
            recipe(one, one.variants[0], load_builtin("stacking").bbox), "stacking.toml"
        ).training_until == date(2019, 11, 21)

    def test_fewer_trees_for_a_quicker_look_are_told(self):
        one = entry("stacking")
        bbox = load_builtin("stacking").bbox
        found = tomllib.loads(recipe(one, one.variants[0], bbox, trees=0.1))
        numbers = {
            name: given.get("n_estimators", given.get("iterations"))
            for name, given in found["method"]["parameters"]["parameters"].items()
        }
        assert numbers == {"xgboost": 30, "lightgbm": 30, "catboost": 50}
        few = measured()
        few["world"]["trees"] = 0.1
        assert "0.1 of its trees" in product_section(few, "x")
        assert "trees" not in product_section(measured(), "x")

    def test_a_region_without_a_coarse_cell(self):
        with pytest.raises(UsageError, match="larger --size"):
            region((104.2, 36.2, 104.3, 36.3), "M36")

    def test_folders_say_what_is_in_them(self):
        one = replace(entry("rao2022"), first=date(2018, 6, 1), last=date(2018, 6, 30))
        assert World(one, 150.0, 3).folder == "rao2022-150km-seed3-2018-06-01-2018-06-30"


class TestOptions:
    @pytest.mark.parametrize(
        ("arguments", "code", "said"),
        [
            (["nothing"], 1, "no results of 'nothing'; there are rao2022"),
            (["--from", "2018-02-01", "--to", "2018-01-01"], 2, "before the first day"),
            (["--real-data", "/nowhere"], 2, "no folder"),
            (["--only-real-data"], 2, "--real-data FOLDER"),
            (["--trees", "0"], 2, "at most 1"),
            (["--jobs", "0"], 2, "1 or more"),
        ],
    )
    def test_wrong_ones_are_told_before_anything_is_made(
        self, arguments, code, said, tmp_path, capsys
    ):
        assert (
            main([*arguments, "--folder", f"{tmp_path}/work", "--page", f"{tmp_path}/x.md"]) == code
        )
        assert said in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    def test_no_entry_has_no_name(self):
        with pytest.raises(NotFoundError, match="there are"):
            entry("none")
