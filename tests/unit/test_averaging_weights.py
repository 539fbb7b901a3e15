"""Weights by expectation-maximisation, Markov chains and over models; the mixture they make."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from smcatalog.core.errors import UsageError
from smcatalog.methods.averaging.agreement import compare, expectation
from smcatalog.methods.averaging.chains import effective_size, sample_weights, split_r_hat
from smcatalog.methods.averaging.mixture import mixture_moments, mixture_quantiles, shares
from smcatalog.methods.averaging.model_space import explore_models
from smcatalog.methods.averaging.weights import Prior, fit_bias, fit_weights, log_posterior
from smcatalog.methods.averaging.zonal import fit_zones

PRIOR = Prior(scale=0.02**2)


def planted(n, weights, deviations, missing=0.0, seed=1):
    """Observations that each follow one member, drawn by the weights among those that are there."""
    rng = np.random.default_rng(seed)
    k = len(weights)
    members = rng.normal(0.2, 0.06, n)[:, None] + rng.normal(0, 0.05, (n, k))
    there = rng.random((n, k)) >= missing
    there[~there.any(axis=1)] = True
    chance = (there * np.array(weights)).cumsum(axis=1)
    own = (rng.random(n)[:, None] * chance[:, -1:] > chance).sum(axis=1)
    observed = members[np.arange(n), own] + rng.normal(0, np.array(deviations)[own])
    members[~there] = np.nan
    return observed, members


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(2, 5), st.booleans(), st.booleans(), st.floats(0.0, 0.5))
def test_the_objective_never_falls(seed, k, common, with_prior, missing):
    rng = np.random.default_rng(seed)
    observed, members = planted(60, rng.dirichlet(np.ones(k)), np.full(k, 0.02), missing, seed)
    prior = PRIOR if with_prior else None
    found = fit_weights(observed, members, common=common, prior=prior, steps=200)
    assert np.diff(found.path).min(initial=0.0) > -1e-8
    assert found.weights.sum() == pytest.approx(1.0)
    assert found.weights.min() >= 0
    assert not common or np.ptp(found.variances) == 0


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("common", [False, True])
def test_planted_weights_come_back(common, missing):
    weights, deviations = [0.5, 0.3, 0.2], [0.02] * 3 if common else [0.02, 0.012, 0.03]
    observed, members = planted(20_000, weights, deviations, missing)
    found = fit_weights(observed, members, common=common)
    assert found.converged
    assert np.allclose(found.weights, weights, atol=0.02)
    assert np.allclose(np.sqrt(found.variances), deviations, rtol=0.06)


def test_the_mode_is_a_mode():
    observed, members = planted(400, [0.6, 0.3, 0.1], [0.02, 0.02, 0.02], 0.2)
    for prior in (None, PRIOR):
        found = fit_weights(observed, members, prior=prior)
        best = log_posterior(observed, members, found.weights, found.variances, prior)
        assert best == pytest.approx(found.path[-1])
        rng = np.random.default_rng(0)
        for _ in range(50):
            near = found.weights * np.exp(0.02 * rng.normal(size=3))
            spread = found.variances * np.exp(0.02 * rng.normal(size=3))
            there = log_posterior(observed, members, near / near.sum(), spread, prior)
            assert there <= best + 1e-6


@pytest.mark.parametrize(
    ("n", "missing", "common"),
    [(600, 0.0, False), (1500, 0.0, True), (1500, 0.25, False)],
)
def test_chains_and_maximisation_agree_within_the_chains_error(n, missing, common):
    observed, members = planted(n, [0.45, 0.3, 0.2, 0.05], [0.02] * 4, missing)
    mode = fit_weights(observed, members, common=common, prior=PRIOR)
    chains = sample_weights(observed, members, PRIOR, common=common, draws=800, warm_up=200)
    expected = expectation(observed, members, mode, PRIOR, common=common)
    found = compare(expected, chains)
    assert found.agrees.all()
    assert expected.effective > 4000
    assert (chains.r_hat < 1.05).all()
    assert (chains.effective > 200).all()
    assert (chains.error < 0.08 * chains.deviation).all()  # what is allowed is small
    assert np.allclose(expected.deviation[0], chains.deviation[0], rtol=0.1)
    # the largest likelihood, without the prior, is within a fraction of the posterior's width
    likely = fit_weights(observed, members, common=common)
    assert (np.abs(likely.weights - chains.mean[0]) < 0.5 * chains.deviation[0]).all()


def test_a_wrong_mode_does_not_agree():
    observed, members = planted(600, [0.5, 0.3, 0.2], [0.02] * 3)
    other, rest = planted(600, [0.4, 0.4, 0.2], [0.02] * 3, seed=2)
    chains = sample_weights(observed, members, PRIOR, draws=600, warm_up=200)
    mode = fit_weights(other, rest, prior=PRIOR)
    assert not compare(expectation(other, rest, mode, PRIOR), chains).agrees.all()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_they_agree_where_members_are_alike_and_the_posterior_is_wide(seed):
    """Learners fitted to the same windows err alike: many weights explain the same observations."""
    prior = Prior()  # a product's
    rng = np.random.default_rng(seed)
    truth = rng.uniform(0.1, 0.4, 450)
    shared = rng.normal(0, 0.04, (450, 1))
    members = truth[:, None] + shared + rng.normal(0, 0.008, (450, 4))
    observed = truth + rng.normal(0, 0.01, 450)
    members[rng.random(450) < 0.1, 3] = np.nan
    mode = fit_weights(observed, members, prior=prior)
    chains = sample_weights(observed, members, prior, draws=1000, warm_up=300, seed=seed)
    expected = expectation(observed, members, mode, prior, seed=seed)
    assert compare(expected, chains).agrees.all()
    # a wide posterior, whose mode is not its mean, and an error that is small beside it
    assert chains.deviation[0].max() > 0.05
    assert (chains.error < 0.12 * chains.deviation).all()
    assert (chains.r_hat < 1.05).all()
    assert expected.effective > 2000


def test_chains_find_the_mean_that_sums_over_a_grid_give():
    observed, members = planted(40, [0.7, 0.3], [0.02] * 2, 0.2)
    weight = (np.arange(100) + 0.5) / 100
    variance = np.exp(np.linspace(np.log(1e-4), np.log(4e-3), 80))
    table = np.array(
        [
            [
                log_posterior(
                    observed, members, np.array([w, 1 - w]), np.full(2, s), PRIOR, common=True
                )
                for s in variance
            ]
            for w in weight
        ]
    )
    # the density is in log coordinates: that of the weight itself is it over w (1 - w)
    density = np.exp(table - table.max()) / (weight * (1 - weight))[:, None]
    exact = (density.sum(axis=1) * weight).sum() / density.sum()
    chains = sample_weights(observed, members, PRIOR, common=True, draws=1500, warm_up=200)
    assert abs(chains.mean[0, 0] - exact) < 4 * chains.error[0, 0]
    mode = fit_weights(observed, members, prior=PRIOR, common=True)
    expected = expectation(observed, members, mode, PRIOR, common=True)
    assert abs(expected.mean[0, 0] - exact) < 4 * expected.error[0, 0]
    assert expected.error[0, 0] < 0.02 * expected.deviation[0, 0]


def test_the_same_seed_draws_the_same():
    observed, members = planted(100, [0.5, 0.5], [0.02] * 2)
    one, two = (sample_weights(observed, members, PRIOR, draws=20, seed=5) for _ in range(2))
    assert np.array_equal(one.weights, two.weights)


def test_diagnostics_of_chains():
    rng = np.random.default_rng(0)
    independent = rng.normal(size=(4, 5000, 2))
    assert np.allclose(split_r_hat(independent), 1, atol=0.005)
    assert np.allclose(effective_size(independent), 20_000, rtol=0.1)
    walk = np.zeros((4, 20_000))
    noise = rng.normal(size=walk.shape)
    for i in range(1, walk.shape[1]):
        walk[:, i] = 0.8 * walk[:, i - 1] + noise[:, i]
    assert effective_size(walk) == pytest.approx(80_000 * 0.2 / 1.8, rel=0.1)
    apart = independent[..., 0] + np.arange(4)[:, None]
    assert split_r_hat(apart) > 1.5
    assert effective_size(apart) < 100


def test_bias_correction_is_a_line_for_each_member():
    observed, members = planted(5000, [0.5, 0.5], [0.01] * 2, 0.2)
    crooked = (members - 0.05) / [1.0, 0.5]
    found = fit_bias(observed, crooked)
    for i in range(2):
        there = np.isfinite(crooked[:, i])
        slope, intercept = np.polyfit(crooked[there, i], observed[there], 1)
        assert found.slope[i] == pytest.approx(slope)
        assert found.intercept[i] == pytest.approx(intercept)
    constant = fit_bias(observed[:50], np.full((50, 2), 0.3))
    assert constant.slope.tolist() == [0, 0]
    assert constant.intercept == pytest.approx(observed[:50].mean())


def test_models_are_visited_as_often_as_they_are_likely():
    rng = np.random.default_rng(3)
    observed, members = planted(40, [0.6, 0.3, 0.1], [0.05] * 3)
    members = np.column_stack([members, rng.normal(0.2, 0.05, 40)])
    for prior in ("g", "bic"):
        found = explore_models(observed, members, prior=prior, steps=30_000)
        assert np.allclose(found.inclusion, found.exact, atol=0.02)
        assert sum(found.models.values()) == pytest.approx(1.0)
        assert found.single.sum() == pytest.approx(1.0)
        assert 0 < found.accepted < 1


def test_models_find_the_members_that_matter_and_end_at_one():
    rng = np.random.default_rng(0)
    members = rng.normal(0.2, 0.05, (2000, 3))
    observed = 0.05 + 0.6 * members[:, 0] + 0.2 * members[:, 2] + rng.normal(0, 0.02, 2000)
    members[7, 1] = np.nan
    found = explore_models(observed, members)
    assert found.rows == 1999
    assert found.inclusion[[0, 2]].min() > 0.999
    assert found.inclusion[1] < 0.3
    assert np.allclose(found.coefficients, [0.05, 0.6, 0.0, 0.2], atol=0.03)
    assert found.single[0] > 0.999  # probabilities go to 0 or 1: why no agreement is expected


def test_the_mixtures_moments_and_quantiles_are_those_of_draws():
    rng = np.random.default_rng(0)
    members = rng.uniform(0.05, 0.4, (5, 3))
    members[1, 2] = members[3, 0] = members[3, 1] = np.nan
    weights, variances = np.array([0.5, 0.3, 0.2]), np.array([0.02, 0.03, 0.01]) ** 2
    mean, variance = mixture_moments(members, weights, variances)
    levels = (0.05, 0.5, 0.95)
    found = mixture_quantiles(members, weights, variances, levels)
    n = 400_000
    for row in range(5):
        there = np.isfinite(members[row])
        own = rng.choice(np.flatnonzero(there), n, p=weights[there] / weights[there].sum())
        draws = rng.normal(members[row, own], np.sqrt(variances[own]))
        assert mean[row] == pytest.approx(draws.mean(), abs=4 * draws.std() / np.sqrt(n))
        assert variance[row] == pytest.approx(draws.var(), rel=0.02)
        for level, quantile in zip(levels, found[:, row], strict=True):
            assert (draws < quantile).mean() == pytest.approx(level, abs=0.003)


@given(st.integers(0, 10_000), st.sampled_from([0.001, 0.05, 0.5, 0.9, 0.999]))
# a narrow member in a flat stretch: plain Newton steps went to and fro around it
@example(181, 0.9)
def test_quantiles_invert_the_distribution(seed, level):
    rng = np.random.default_rng(seed)
    members, weights = rng.uniform(0, 0.6, (20, 4)), rng.dirichlet(np.full(4, 0.3))
    deviations = 10 ** rng.uniform(-3, -1, 4)
    found = mixture_quantiles(members, weights, deviations**2, [level])[0]
    below = (weights * norm.cdf(found[:, None], members, deviations)).sum(axis=1)
    slope = (weights * norm.pdf(found[:, None], members, deviations)).sum(axis=1)
    assert np.all(np.abs(below - level) <= 1e-6 * slope + 1e-9)


def test_rows_without_members_stay_empty():
    members = np.full((2, 3), np.nan)
    members[0, 1] = 0.2
    weights, variances = np.array([0.5, 0.5, 0.0]), np.full(3, 1e-4)
    mean, variance = mixture_moments(members, weights, variances)
    assert (mean[0], variance[0]) == pytest.approx((0.2, 1e-4))
    assert np.isnan([mean[1], variance[1]]).all()
    quantiles = mixture_quantiles(members, weights, variances, [0.5])
    assert quantiles[0, 0] == pytest.approx(0.2)
    assert np.isnan(quantiles[0, 1])
    assert shares(weights, members)[0].tolist() == [0, 1, 0]


@pytest.mark.parametrize("bias", [False, True])
def test_zones_have_mixtures_of_their_own(bias):
    parts = [planted(3000, w, [0.02] * 2, seed=i) for i, w in enumerate(([0.8, 0.2], [0.2, 0.8]))]
    few = planted(10, [0.5, 0.5], [0.02] * 2)
    observed = np.concatenate([part[0] for part in (*parts, few)])
    members = np.concatenate([part[1] for part in (*parts, few)])
    zones = np.repeat([0, 1, 2], [3000, 3000, 10])
    found = fit_zones(observed, members, zones, common=True, bias=bias)
    assert sorted(found.mixtures) == [-1, 0, 1]
    if not bias:
        assert found.mixtures[0].weights[0] == pytest.approx(0.8, abs=0.03)
        assert found.mixtures[1].weights[0] == pytest.approx(0.2, abs=0.03)
    mean, variance = found.moments(members, zones)
    assert abs((mean - observed)[:6000].mean()) < 0.003
    if not bias:  # a line through a mixture's rows is not the mixture
        square = ((mean - observed) ** 2)[:6000].mean()
        assert square == pytest.approx(variance[:6000].mean(), rel=0.1)
        low, high = found.quantiles(members, zones, [0.05, 0.95])
        assert ((observed > low) & (observed < high)).mean() == pytest.approx(0.9, abs=0.02)
    elsewhere = found.moments(members[:5], np.array([2, -1, 2, 99, -1]))[0]
    overall = found.mixtures[-1].weights
    if not bias:
        assert np.allclose(elsewhere, members[:5] @ overall)


def test_what_cannot_be_is_refused():
    observed, members = planted(50, [0.5, 0.5], [0.02] * 2)
    with pytest.raises(UsageError, match="too few"):
        fit_weights(observed[:3], members[:3])
    with pytest.raises(UsageError, match="members"):
        fit_weights(observed, members[:20])
    with pytest.raises(UsageError, match="without a single"):
        fit_weights(observed, np.column_stack([members, np.full(50, np.nan)]))
    with pytest.raises(UsageError, match="above 0"):
        Prior(shape=0)
    with pytest.raises(UsageError, match="chains"):
        sample_weights(observed, members, PRIOR, draws=1)
    with pytest.raises(UsageError, match="evidence"):
        explore_models(observed, members, prior="aic")
    with pytest.raises(UsageError, match="at least 5"):
        explore_models(observed[:4], members[:4])
    with pytest.raises(UsageError, match="levels"):
        mixture_quantiles(members, np.ones(2), np.ones(2), [1.0])
    with pytest.raises(UsageError, match="weights do not belong"):
        mixture_moments(members, np.ones(3), np.ones(3))
    with pytest.raises(UsageError, match="zones"):
        fit_zones(observed, members, np.zeros(3, int))
