"""Laws of mixing: held-out losses as functions of the mixture's weights, fitted to small runs.

Letters in the names of arrays: N mixtures, K groups of tasks that have a weight, G groups whose loss counts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

Law = Callable[[np.ndarray], np.ndarray]  # from weights_NK, which sum to 1, to losses_NG
Fit = Callable[[np.ndarray, np.ndarray, Sequence[int | None]], Law]
FOLDS = 8
RIDGES = np.logspace(-6, 2, 17)  # tried weights of the penalty
LEAST = 1e-6  # of what an example of another group counts
BEGINS = ((0.1, 0.5), (0.5, 0.5), (1.0, 1.0))  # of the exponents, from where the fit is tried
TRIES = 100  # evaluations of a fit
BOUNDS = ([0.0, LEAST, 0.0, 0.01, 0.0], [np.inf, 1e3, 2.0, 4.0, np.inf])  # of C, k, alpha, beta, E


def linear(weights_NK: np.ndarray, losses_NG: np.ndarray, own: Sequence[int | None]) -> Law:
    """Fit losses that are linear in the weights, by ridge regression (RegMix, Liu et al. 2024, compares it
    with trees); the penalty is that of the least leave-one-out error.
    """
    del own
    middle_K, mean_G = weights_NK.mean(axis=0), losses_NG.mean(axis=0)
    u_NR, s_R, vt_RK = np.linalg.svd(weights_NK - middle_K, full_matrices=False)
    projected_RG = u_NR.T @ (losses_NG - mean_G)
    slopes_KG, least = np.zeros((len(middle_K), len(mean_G))), np.inf
    for ridge in RIDGES * max(float(s_R.max(initial=0.0)) ** 2, 1e-12):
        kept_R = s_R**2 / (s_R**2 + ridge)
        residuals_NG = losses_NG - mean_G - (u_NR * kept_R) @ projected_RG
        leverage_N = (u_NR**2 * kept_R).sum(axis=1) + 1 / len(weights_NK)
        error = float(np.mean((residuals_NG / np.maximum(1 - leverage_N, 1e-3)[:, None]) ** 2))
        if error < least:
            least = error
            slopes_KG = vt_RK.T @ ((s_R / (s_R**2 + ridge))[:, None] * projected_RG)
    return lambda asked_NK: mean_G + (asked_NK - middle_K) @ slopes_KG


def log_linear(weights_NK: np.ndarray, losses_NG: np.ndarray, own: Sequence[int | None]) -> Law:
    """Fit losses whose logarithms are linear in the weights, as `linear` does."""
    law = linear(weights_NK, np.log(losses_NG), own)
    return lambda asked_NK: np.exp(law(asked_NK))


def effective_data(weights_NK: np.ndarray, losses_NG: np.ndarray, own: Sequence[int | None]) -> Law:
    """Fit the law of Data Mixing Optimization for SFT (Li et al. 2025, arXiv 2508.11953) to each group:
    C (n + k o^alpha)^-beta + E, of its own data n and that of all others o, which count as far as they
    transfer.

    The amounts are shares of a run's data, since all runs read as much; C and k take up the difference.

    Args:
        weights_NK: of the runs.
        losses_NG: of the runs.
        own: the place among the weights of each group whose loss counts; of one without a weight the law says
            only its mean.
    """
    found = [
        None if place is None else fit_effective_data(weights_NK[:, place], losses_NG[:, group])
        for group, place in enumerate(own)
    ]

    def law(asked_NK: np.ndarray) -> np.ndarray:
        columns = [
            np.full(len(asked_NK), losses_NG[:, group].mean())
            if place is None
            else effective_loss(found[group], asked_NK[:, place])
            for group, place in enumerate(own)
        ]
        return np.stack(columns, axis=1)

    return law


def effective_loss(parameters: np.ndarray, weights_N: np.ndarray) -> np.ndarray:
    """Return the loss of one group at its weights: C (n + k o^alpha)^-beta + E."""
    scale, k, alpha, beta, floor = parameters
    effective_N = weights_N + k * np.maximum(1 - weights_N, 0.0) ** alpha
    return scale * np.maximum(effective_N, LEAST) ** -beta + floor


def fit_effective_data(weights_N: np.ndarray, losses_N: np.ndarray) -> np.ndarray:
    """Return C, k, alpha, beta and E of one group: the best of the fits from several beginnings."""
    from scipy import optimize  # slow to import, and every command with a gin file imports this module

    floor, scale = 0.9 * losses_N.min(), max(float(np.ptp(losses_N)), LEAST)
    fits = [
        optimize.least_squares(
            lambda parameters: (effective_loss(parameters, weights_N) - losses_N) / scale,
            [scale, k, 1.0, beta, floor],
            bounds=BOUNDS,
            loss='huber',
            max_nfev=TRIES,
        )
        for beta, k in BEGINS
    ]
    return min(fits, key=lambda fit: fit.cost).x


LAWS: Mapping[str, Fit] = {'linear': linear, 'log_linear': log_linear, 'effective_data': effective_data}


class Quality(NamedTuple):
    """How well a law foretells runs that it was not fitted to.

    Args:
        law: a key of `LAWS`.
        rmse: the root of the mean squared error of the mean loss over the groups that count.
        r2: the share of the variance between runs that it explains; below 0 it is worse than their mean.
        spearman: how the order of the runs by its predictions goes with that by their losses.
        p: how probable at least that correlation is without any relation, two-sided.
    """

    law: str
    rmse: float
    r2: float
    spearman: float
    p: float


def judge(name: str, weights_NK: np.ndarray, losses_NG: np.ndarray, own: Sequence[int | None]) -> Quality:
    """Fit a law to all runs but every eighth, foretell these, and so for each eighth."""
    from scipy import stats  # see `fit_effective_data`

    number_N = np.arange(len(weights_NK)) % min(FOLDS, len(weights_NK))
    foretold_N, mean_N = np.empty(len(weights_NK)), losses_NG.mean(axis=1)
    for fold in range(number_N.max() + 1):
        out_N = number_N == fold
        law = LAWS[name](weights_NK[~out_N], losses_NG[~out_N], own)
        foretold_N[out_N] = law(weights_NK[out_N]).mean(axis=1)
    error = float(np.mean((foretold_N - mean_N) ** 2))
    variance = float(np.var(mean_N))
    varies = np.ptp(foretold_N) > 0 and np.ptp(mean_N) > 0
    ranked = stats.spearmanr(foretold_N, mean_N) if varies else (0.0, 1.0)
    return Quality(
        name, error**0.5, 1 - error / variance if variance else 0.0, float(ranked[0]), float(ranked[1])
    )


def draw(
    prior_K: np.ndarray,
    count: int,
    random: np.random.Generator,
    strengths: tuple[float, float] = (0.1, 5.0),
    temperature: float = 0.5,
    most: float = 15.0,
) -> np.ndarray:
    """Draw mixtures around one, as RegMix does: from a Dirichlet distribution around its flattened weights,
    some close to it and some far.

    Args:
        prior_K: the weights of the mixture, which sum to 1.
        count: how many to draw.
        random: what they are drawn with.
        strengths: how concentrated the distribution is, from the least to the most.
        temperature: the exponent that flattens the weights; 1 leaves them.
        most: what is drawn has no weight above so many times that in the mixture.

    Raises:
        ValueError: hardly any mixture that is drawn keeps to `most`.
    """
    flat_K = prior_K**temperature / np.sum(prior_K**temperature)
    kept: list[np.ndarray] = []
    for _ in range(100):
        concentration_N = np.exp(random.uniform(*np.log(strengths), size=count))
        gammas_NK = random.gamma(concentration_N[:, None] * flat_K)
        sums_N = gammas_NK.sum(axis=1)
        drawn_NK = gammas_NK[sums_N > 0] / sums_N[sums_N > 0, None]
        kept += list(drawn_NK[(drawn_NK <= most * prior_K).all(axis=1)])
        if len(kept) >= count:
            return np.array(kept[:count])
    raise ValueError(
        f'of {100 * count:,} mixtures only {len(kept):,} have no weight above {most} times its own in the '
        'mixture; expected a greater MixConfig.most, or a greater MixConfig.strengths'
    )
