"""Every search method is a row of one table; none has a loop or a class of its own.

A row names its parts (`parts/`). docs/recipes/method.md says how to add one; `method_file.py` reads rows of
the user's own from TOML.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hwnas.core.registry import Registry, part

from .method import Method, Published, TermSpec, relax
from .progressive import OFA_LR, OFA_STAGES, P_DARTS_STAGES
from .stage import Stage
from .step.optim import AdamSettings, SGDSettings

METHODS: Registry[Method] = Registry("method")


def add_method(row: Method) -> Method:
    """File a row in the table, its parts checked; UsageError for a second one of that name."""
    row.check()
    return METHODS.add(row.name)(row)


def variant(of: Method, name: str, title: str, **changes: Any) -> Method:
    """File a row that differs from another in `changes`."""
    return add_method(replace(of, name=name, title=title, **changes))


DARTS = add_method(
    Method(
        name="darts",
        title="DARTS, first order: every option runs, weighted by the softmax of its logit",
        paper="Liu et al. 2019, DARTS: Differentiable Architecture Search, arXiv 1806.09055",
        relax=relax("softmax"),
        weights=SGDSettings(lr=0.025, min_lr=0.001, nesterov=False, weight_decay=3e-4, clip=5.0),
        arch=AdamSettings(lr=3e-4, betas=(0.5, 0.999), weight_decay=1e-3),
    )
)

DARTS_2 = variant(
    DARTS,
    "darts-2",
    "DARTS, second order as published: unrolled by one step, central difference with r = 0.01",
    hypergradient=part("unrolled", r=0.01),
)
variant(
    DARTS,
    "darts-2-exact",
    "DARTS, second order by double backward instead of a finite difference",
    hypergradient=part("unrolled", exact=True),
)
variant(
    DARTS,
    "darts-2-reuse",
    "DARTS, second order, the virtual step is the real one; r = 0.3",
    hypergradient=part("unrolled", r=0.3, reuse=True),
)
variant(
    DARTS,
    "darts-2-fast",
    "DARTS, second order, virtual step reused and one-sided difference; r = 0.3",
    hypergradient=part("unrolled", r=0.3, reuse=True, one_sided=True),
)

variant(
    DARTS,
    "hyperdarts",
    "HyperDARTS: a hypernetwork learns how the weights answer to the policy, in the place of unrolling",
    paper="HyperDARTS, after Bae and Grosse 2020, Delta-STN, arXiv 2010.13514",
    hypergradient=part("response"),
)

_ALPHA_6E4 = AdamSettings(lr=6e-4, betas=(0.5, 0.999), weight_decay=1e-3)


variant(
    DARTS,
    "p-darts",
    "P-DARTS: deeper networks with fewer options in three stages, dropout and a limit on skips",
    paper="Chen et al. 2019, Progressive DARTS, arXiv 1904.12760",
    stages=P_DARTS_STAGES,
    weights=SGDSettings(lr=0.025, min_lr=0.0, nesterov=False, weight_decay=3e-4, clip=5.0),
    arch=replace(_ALPHA_6E4, clip=5.0),
    decode=part("limit_skips", n=2),
    published=Published(epochs=75, batch_size=96, cells=5),
)

variant(
    DARTS,
    "pc-darts",
    "PC-DARTS: a quarter of the channels through the mixed operations, edges normalised",
    paper="Xu et al. 2020, PC-DARTS, arXiv 1907.05737",
    policy=part("logits", edges=True),
    stages=(Stage("search", frozen=0.3, edges=(("partial", part("constant", value=4)),)),),
    weights=SGDSettings(lr=0.1, min_lr=0.0, nesterov=False, weight_decay=3e-4, clip=5.0),
    arch=_ALPHA_6E4,
    published=Published(batch_size=256),
)

_DADARTS_PAPER = "DADARTS: discretisation-aware DARTS, code github.com/vascofor2000/epe-darts-integration"
_TOPK, _DAL = part("topk", linear=True, t_max=200.0), (TermSpec(part("dal"), (1.0, 1.0)),)

variant(
    DARTS_2,
    "dadarts",
    "DADARTS: top-k on the logits, hard cells on the weights, discretisation loss",
    paper=_DADARTS_PAPER,
    relax=relax("hard", _TOPK, virtual="softmax", validation="hard"),
    regularisers=_DAL,
)
variant(
    DARTS_2,
    "dadarts-hd-on-weights",
    "DADARTS, -hd_on_weights alone: hard cells in the weight step and at validation",
    paper=_DADARTS_PAPER,
    relax=relax("hard", "softmax", virtual="softmax", validation="hard"),
)
variant(
    DARTS_2,
    "dadarts-topk-on-alphas",
    "DADARTS, -topk_on_alphas alone, with -linear_temperature_increase to 200",
    paper=_DADARTS_PAPER,
    relax=relax("softmax", _TOPK, virtual="softmax", validation="softmax"),
)
variant(
    DARTS_2,
    "dadarts-topk-on-weights",
    "DADARTS, -topk_on_weights alone, with -linear_temperature_increase to 200",
    paper=_DADARTS_PAPER,
    relax=relax(_TOPK, "softmax", virtual="softmax", validation=_TOPK),
)
variant(
    DARTS_2,
    "dadarts-dal-on-alphas",
    "DADARTS, -dal_on_alphas alone: discretisation additional loss on both cells",
    paper=_DADARTS_PAPER,
    regularisers=_DAL,
)

PROXYLESS = add_method(
    Method(
        name="proxyless",
        title="ProxylessNAS, two-path binary gates: one option runs, one other is probed",
        paper="Cai et al. 2019, ProxylessNAS, arXiv 1812.00332",
        policy=part("logits", keep_untouched=True),
        relax=relax("sampled", "binary_two", validation="hard"),
        # 40 epochs of uniform paths, which the untouched policy draws, then 120 of search.
        stages=(Stage("search", warmup=0.25, arch_every=5),),
        weights=SGDSettings(lr=0.025, weight_decay=4e-5, clip=None),
        arch=AdamSettings(lr=1e-3, betas=(0.0, 0.999), weight_decay=0.0),
        objective_published=part("multiply_log", a=0.2, b=0.3),
        label_smoothing=0.1,
        published=Published(epochs=160, batch_size=256, cells=0, val_share=0.04),
    )
)
variant(
    PROXYLESS,
    "proxyless-full",
    "ProxylessNAS, full binary gates: one option runs, all others are probed",
    paper="Cai et al. 2019, ProxylessNAS, arXiv 1812.00332 (`full_v2` of its code)",
    policy=part("logits"),
    relax=relax("sampled", "binary_full", validation="hard"),
)
variant(
    PROXYLESS,
    "proxyless-rl",
    "ProxylessNAS by REINFORCE: ten sampled networks, reward accuracy (T / latency)^0.1",
    policy=part("logits"),
    relax=relax("sampled", validation="hard"),
    hypergradient=part("reinforce", samples=10, decay=0.99),
    # 300 updates per epoch, which is 4,800 steps of batch 256.
    stages=(Stage("search", warmup=0.25, arch_every=16),),
    objective_published=part("power", w=0.1),
)

_ENAS_PAPER = "Pham et al. 2018, Efficient Neural Architecture Search, arXiv 1802.03268"

ENAS = add_method(
    Method(
        name="enas",
        title="ENAS, micro: an LSTM draws cells, REINFORCE with entropy, the best of ten draws",
        paper=_ENAS_PAPER,
        policy=part("controller", tanh=1.1, op_reduce=2.5),
        relax=relax("sampled"),
        hypergradient=part("reinforce", samples=10, decay=0.99, entropy=1e-4),
        # One epoch of weights (280 steps of batch 160), then 30 controller steps. Six cells, two reductions.
        stages=(Stage("search", arch_every=9),),
        # Ten epochs, then each cycle twice as long: 150 epochs in four, the macro space's 310 in five.
        weights=SGDSettings(lr=0.05, min_lr=5e-4, weight_decay=1e-4, clip=5.0, cycles=4),
        arch=AdamSettings(lr=0.0035, betas=(0.0, 0.999), weight_decay=0.0),
        decode=part("sample_and_rank", n=10),
        published=Published(epochs=150, batch_size=160, cells=8, channels=20, val_share=0.1),
    )
)
variant(
    ENAS,
    "enas-prior",
    "ENAS, micro, with the published start in favour of separable convolutions",
    policy=part("controller", tanh=1.1, op_reduce=2.5, bias=10.0, fixed=0.25),
)
variant(
    ENAS,
    "enas-macro",
    "ENAS, macro: operation and skips of each layer",
    policy=part("controller", tanh=1.5, op_reduce=1.0),
    hypergradient=part("reinforce", samples=20, decay=0.99, entropy=1e-4),
    regularisers=(TermSpec(part("skip_target", target=0.4), (0.8, 0.8)),),
    # One epoch of weights (350 steps of batch 128), then 50 controller steps.
    stages=(Stage("search", arch_every=7),),
    weights=SGDSettings(lr=0.05, min_lr=5e-4, weight_decay=2.5e-4, clip=5.0, cycles=5),
    arch=AdamSettings(lr=0.001, betas=(0.0, 0.999), weight_decay=0.0),
    published=Published(epochs=310, batch_size=128, cells=12, channels=36, val_share=0.1),
)

variant(
    DARTS,
    "gdas",
    "GDAS: the option that a Gumbel sample prefers runs, with the gradient of the sample",
    paper="Dong and Yang 2019, GDAS, arXiv 1910.04465",
    relax=relax("gumbel_hard", validation="hard"),
    stages=(Stage("search", temperature=(10.0, 0.1)),),
    weights=SGDSettings(lr=0.025, min_lr=0.001, weight_decay=5e-4, clip=5.0),
    published=Published(epochs=250),
)
variant(
    DARTS,
    "snas",
    "SNAS: concrete samples; weights and policy learn from the same batch",
    paper="Xie et al. 2019, SNAS, arXiv 1812.09926",
    # The weight place would be for stretches with a frozen policy, of which it has none.
    relax=relax("softmax", "gumbel", validation="hard"),
    hypergradient=part("single_level"),
    stages=(Stage("search", temperature=(1.0, 0.03)),),
    published=Published(epochs=150),
)
variant(
    DARTS,
    "drnas",
    "DrNAS: Dirichlet samples; more channels and half the options in a second stage",
    paper="Chen et al. 2021, DrNAS, arXiv 2006.10355",
    policy=part("logits", mean="dirichlet"),
    relax=relax("dirichlet"),
    stages=(
        Stage("stage 1", frozen=0.4, edges=(("partial", part("constant", value=6)),)),
        Stage(
            "stage 2",
            frozen=0.4,
            start="widened",
            options=0.5,
            edges=(("partial", part("constant", value=4)),),
        ),
    ),
    regularisers=(TermSpec(part("logit_norm"), (1e-3, 1e-3)),),
    weights=SGDSettings(lr=0.1, min_lr=0.0, nesterov=False, weight_decay=3e-4, clip=5.0),
    arch=AdamSettings(lr=6e-4, betas=(0.5, 0.999), weight_decay=0.0),
    published=Published(cells=20, channels=36),
)
variant(
    DARTS,
    "fair-darts",
    "FairDARTS: sigmoids, so that options do not compete, pushed to 0 or 1",
    paper="Chu et al. 2020, Fair DARTS, arXiv 1911.12126",
    policy=part("logits", mean="sigmoid"),
    relax=relax("sigmoid"),
    regularisers=(TermSpec(part("zero_one"), (10.0, 10.0)),),
    weights=SGDSettings(lr=0.005, min_lr=0.0, nesterov=False, weight_decay=3e-4, clip=5.0),
    published=Published(batch_size=128),
)
variant(
    DARTS,
    "darts-minus",
    "DARTS-: an auxiliary skip beside every mixed operation, faded out",
    paper="Chu et al. 2021, DARTS-, arXiv 2009.01027",
    stages=(
        Stage(
            "search",
            edges=(("aux_skip", part("linear", start=1.0, end=0.0)),),
        ),
    ),
)
variant(
    DARTS,
    "beta-darts",
    "beta-DARTS: the logsumexp of the logits decays, with a weight from 0 to 50",
    paper="Ye et al. 2022, beta-DARTS, arXiv 2203.01665",
    regularisers=(TermSpec(part("beta_decay"), (0.0, 50.0)),),
)
_SMOOTH_PAPER = "Chen and Hsieh 2020, SmoothDARTS, arXiv 2002.05283"
variant(
    DARTS,
    "smooth-darts-rs",
    "SmoothDARTS, random: weights are trained under mixes with uniform noise",
    paper=_SMOOTH_PAPER,
    relax=relax(part("softmax_noise", eps=0.03, eps_end=0.3), "softmax"),
)
variant(
    DARTS,
    "smooth-darts-adv",
    "SmoothDARTS, adversarial: weights are trained under the worst mix nearby, 7 steps of ascent",
    paper=_SMOOTH_PAPER,
    weight_rule=part("adversarial", eps=0.03, eps_end=0.3, steps=7),
)
variant(
    DARTS,
    "oles",
    "OLES: an operation is trained no more once its training and validation gradients part",
    paper="Jiang et al. 2023, Operation-level early stopping for robustifying DARTS, NeurIPS 2023",
    callbacks=(part("freeze_operations", threshold=0.4, window=20),),
)
variant(
    DARTS,
    "darts-pt",
    "DARTS-PT: the options whose removal hurts the supernet most, not those with the largest logits",
    paper="Wang et al. 2021, Rethinking architecture selection, arXiv 2108.04392",
    decode=part("perturbation", tune=0.2),
)
variant(
    DARTS_2,
    "robust-darts",
    "RobustDARTS: stops when the curvature by the policy grows, and goes back",
    paper="Zela et al. 2020, Understanding and robustifying DARTS, arXiv 1909.09656",
    callbacks=(part("stop_on_curvature", window=5, ratio=0.75),),
)
variant(
    DARTS,
    "modnas",
    "MODNAS: a hypernetwork of preference and device, one gradient per device, ReinMax draws",
    paper="Sukthanker et al. 2025, Multi-objective differentiable NAS, arXiv 2402.18213",
    policy=part("hypernetwork"),
    relax=relax("sampled", "reinmax", validation="hard"),
    hypergradient=part("devices"),
    weights=SGDSettings(lr=0.025, min_lr=0.001, nesterov=False, weight_decay=2.7e-3, clip=5.0),
    arch=AdamSettings(lr=3e-4, betas=(0.5, 0.999), weight_decay=0.0),
    published=Published(epochs=100, batch_size=256, cells=0),
)
ELASTIC = variant(
    PROXYLESS,
    "elastic",
    "Elastic supernet: the largest network teaches the smallest and two sampled ones; no policy learns",
    paper="Yu et al. 2020, BigNAS, arXiv 2003.11142; Cai et al. 2020, Once-for-all, arXiv 1908.09791",
    policy=part("logits"),
    relax=relax("uniform", "softmax", validation="hard"),
    weight_rule=part("sandwich", n=2),
    stages=(Stage("train", arch_every=None),),
    objective_published=None,
    decode=part("sample_and_rank", n=10),
    weights=SGDSettings(lr=0.1, weight_decay=3e-5, clip=1.0),
    published=Published(epochs=360, batch_size=2048, cells=0, val_share=0.04),
)

variant(
    ELASTIC,
    "ofa",
    "Once-for-all: progressive shrinking of kernel, depth and width, taught by the largest network",
    paper="Cai et al. 2020, Once-for-all, arXiv 1908.09791",
    weight_rule=part("plain"),
    stages=OFA_STAGES,
    weights=SGDSettings(lr=OFA_LR, weight_decay=3e-5, clip=None),
    published=Published(epochs=590, batch_size=64, cells=0, val_share=0.01),
)
variant(
    DARTS,
    "fbnet",
    "FBNet: concrete samples, latency in the loss",
    paper="Wu et al. 2019, FBNet, arXiv 1812.03443",
    relax=relax("gumbel", validation="hard"),
    stages=(Stage("search", frozen=0.1, temperature=(5.0, 0.1)),),
    objective_published=part("multiply_log", a=0.2, b=0.6),
    weights=SGDSettings(lr=0.1, min_lr=0.0, nesterov=False, weight_decay=1e-4, clip=5.0),
    arch=AdamSettings(lr=0.01, betas=(0.9, 0.999), weight_decay=5e-4),
    published=Published(epochs=90, batch_size=192, cells=0, val_share=0.2),
)
