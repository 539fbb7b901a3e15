"""The best of several learners (Rao et al. 2022)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Final

import numpy as np
from scipy.stats import ks_2samp
from threadpoolctl import threadpool_limits

from smcatalog.core.errors import UsageError
from smcatalog.core.threads import spread
from smcatalog.methods.base import Method
from smcatalog.methods.combiners import Combiner, LearnerChoice
from smcatalog.methods.residuals import ResidualMethod
from smcatalog.methods.scores import plain, scores_of
from smcatalog.methods.splits import FoldsBy, halves, part
from smcatalog.methods.tuning import Tuned, learner, tune
from smcatalog.methods.values import Matrix, Samples

__all__ = ["Best", "Split", "scores_of", "split_alike"]

_SLOWEST_FIRST: Final = ("svr", "random_forest", "ann", "catboost", "xgboost", "lightgbm")
"""Order in which learners are fitted side by side: the last to start should not be the longest."""

_FITTED_ON: Final = ("train", "all")


class Split:
    """Two halves of samples and how alike their targets are.

    Parameters
    ----------
    train, test : ndarray of int
        Numbers of the samples.
    statistic, p : float
        Of the Kolmogorov-Smirnov test; of the depth where p is smallest.
    draws : int
        How often lots were drawn.
    alike : bool
        Whether p is above the bound; False when so many draws brought no such halves.
    """

    def __init__(
        self, train: Any, test: Any, statistic: float, p: float, draws: int, *, alike: bool
    ) -> None:
        self.train, self.test = train, test
        self.statistic, self.p, self.draws, self.alike = statistic, p, draws, alike

    def as_dict(self) -> dict[str, Any]:
        """Return what is known of it, without the samples' numbers."""
        return {
            "n_train": len(self.train),
            "n_test": len(self.test),
            "ks_statistic": plain(self.statistic),
            "ks_p": plain(self.p),
            "draws": self.draws,
            "alike": self.alike,
        }


def split_alike(samples: Samples, alpha: float, most_draws: int, seed: int) -> Split:
    """Halve samples, stratified by date, until the halves' targets are alike (Rao et al. 2022, 2.3.2).

    The two-sample Kolmogorov-Smirnov test (with the asymptotic distribution of its statistic, the same for any
    number of samples) must give p > ``alpha``, at every depth; otherwise lots are drawn again. The paper does not say
    how often: when ``most_draws`` brought none, the most alike halves of them are taken and marked.

    Raises
    ------
    UsageError
        With fewer than two samples.
    """
    if len(samples) < 2:  # noqa: PLR2004 - one for each half
        raise UsageError(f"{len(samples)} samples cannot be halved")
    best: Split | None = None
    for draw in range(1, most_draws + 1):
        # a seed for each draw: the first ones are the same however many may follow
        train, test = halves(
            samples.days, int(np.random.SeedSequence([seed, draw]).generate_state(1)[0])
        )
        tests = [ks_2samp(depth[train], depth[test], method="asymp") for depth in samples.target.T]
        worst = min(tests, key=lambda one: float(one.pvalue))
        p = float(worst.pvalue)
        if best is None or p > best.p:
            best = Split(train, test, float(worst.statistic), p, draw, alike=p > alpha)
        if best.alike:
            return best
        best.draws = draw
    if best is None:
        raise UsageError("most_draws must be 1 or more")
    return best


class Best(Combiner):
    """Of several learners the one with the smallest mean RMSE of training and test half (Rao et al. 2022, eq. 9).

    Samples are halved by date, alike in their targets (`split_alike`). Each learner is tuned by cross-validation
    on the training half alone, fitted to the training half with what was chosen, and scored on both halves. The one with
    the smallest (RMSE_train + RMSE_test) / 2 wins: the training half's weight in this favours learners that
    fit closely, which is the paper's choice. Of equal ones the first named wins.

    Parameters
    ----------
    fitted_on : {"train", "all"}
        What the winner that predicts has learned from: the training half, as the paper's procedure reads (it
        does not say that models are fitted again), or all samples, with the parameters chosen on the half.
    alpha : float
        The halves' targets are drawn again when p of their test is this or smaller.
    most_draws : int
        How often they are drawn at most.
    tune : bool
        Whether parameters are chosen; otherwise they are those given.
    folds : int
        Folds of the cross-validation. The paper names none.
    folds_by : {"random", "cells", "days"}
        What stays together in a fold.
    most_samples : int
        Samples that each learner is tuned on at most; an SVR on no more than 3000 (`tuning.MOST_SAMPLES`).
        The fits that count see all of the training half.

    Attributes
    ----------
    members_ : dict of str to Method
        The winner alone.
    """

    name: ClassVar[str] = "best"

    def __init__(
        self,
        fitted_on: str = "train",
        alpha: float = 0.05,
        most_draws: int = 100,
        tune: bool = True,
        folds: int = 3,
        folds_by: str = "random",
        most_samples: int = 5000,
    ) -> None:
        if fitted_on not in _FITTED_ON:
            raise UsageError(f"'fitted_on' must be one of {', '.join(_FITTED_ON)}: {fitted_on!r}")
        self.fitted_on = fitted_on
        self.alpha = alpha
        self.most_draws = most_draws
        self.tune = tune
        self.folds = folds
        self.folds_by = FoldsBy(folds_by)
        self.most_samples = most_samples
        self._state: dict[str, Any] = {}

    def fit(self, samples: Samples, learners: Mapping[str, LearnerChoice], seed: int) -> None:
        """Tune, fit and score the learners; keep the winner.

        Raises
        ------
        UsageError
            When there is no learner, or when half of the samples are too few for one.
        """
        if not learners:
            raise UsageError("the best of no learners: name at least one")
        split = split_alike(samples, self.alpha, self.most_draws, seed)
        train, test = part(samples, split.train), part(samples, split.test)
        with threadpool_limits(1, user_api="blas"):  # cores are shared out among fits
            tuned = {name: self._tuned(choice, train, seed) for name, choice in learners.items()}
            order = sorted(learners, key=_slowness)
            jobs = [(learner(name, tuned[name].parameters, seed), train, test) for name in order]
            found = dict(zip(order, spread(_fitted, jobs), strict=True))
            scored = {name: {**found[name][1], **tuned[name].as_dict()} for name in learners}
            winner = min(scored, key=lambda name: _rank(scored[name]["mean_rmse"]))
            member: Method = found[winner][0]
            if self.fitted_on == "all":
                member = learner(winner, tuned[winner].parameters, seed).fit(samples)
        self.members_ = {winner: member}
        self._state = {
            "winner": winner,
            "chosen": tuned[winner].parameters,
            "importances": member.importances,
            "report": {
                "winner": winner,
                "fitted_on": self.fitted_on,
                "split": split.as_dict(),
                "learners": scored,
            },
        }

    def _tuned(self, choice: LearnerChoice, train: Samples, seed: int) -> Tuned:
        if not self.tune:
            return Tuned(dict(choice.parameters))
        return tune(
            choice,
            train,
            folds=self.folds,
            folds_by=self.folds_by,
            most_samples=self.most_samples,
            seed=seed,
        )

    def predict(self, features: Matrix) -> tuple[Matrix, Matrix]:
        """Return mean and standard uncertainty of the winner.

        The uncertainty of a learner without one of its own is the RMSE of its test half, which it has not learned
        from; that the test half helped to choose the winner makes it a little too small.
        """
        return self.members_[self._state["winner"]]._predict(features)  # noqa: SLF001 - bounds are the ensemble's

    @property
    def chosen(self) -> dict[str, dict[str, Any]]:
        """Parameters of the winner, given or chosen."""
        return {self._state["winner"]: self._state["chosen"]}

    @property
    def importances(self) -> dict[str, float]:
        """Those of the winner."""
        found: dict[str, float] = self._state["importances"]
        return found

    @property
    def report(self) -> dict[str, Any]:
        """Halves, and every learner's scores, tried settings, parameters and importances."""
        found: dict[str, Any] = self._state["report"]
        return found

    @property
    def state(self) -> dict[str, Any]:
        """Everything but the winner itself."""
        return self._state

    def restore(self, state: Mapping[str, Any], members: Mapping[str, Method]) -> None:
        """Become what was saved."""
        self._state = dict(state)
        self.members_ = dict(members)


def _slowness(name: str) -> int:
    return _SLOWEST_FIRST.index(name) if name in _SLOWEST_FIRST else len(_SLOWEST_FIRST)


def _rank(value: float | None) -> float:
    return math.inf if value is None else value


def _fitted(method: Method, train: Samples, test: Samples) -> tuple[Method, dict[str, Any]]:
    """Fit to the training half and score on both; residuals are those of the test half."""
    if isinstance(method, ResidualMethod):
        folds, method = method.folds, method.set_params(folds=0).fit(train)
        method.judge_by(test)
        method.set_params(folds=folds)
    else:
        method.fit(train)
    scores = {
        name: scores_of(method.predict_samples(half.features), half.target)
        for name, half in (("train", train), ("test", test))
    }
    both = [one["rmse"] for one in scores.values()]
    mean = None if None in both else sum(both) / 2  # type: ignore[arg-type]
    return method, {**scores, "mean_rmse": mean, "importances": method.importances}
