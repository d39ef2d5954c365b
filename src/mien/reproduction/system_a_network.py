"""System A's statements on its networks, recomputed: cost, receptive fields, size, bounds on its loss."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from math import ceil, log

import torch
from torch import nn

from mien.networks.networks import FourBlock
from mien.reproduction.analysis import Analysis, analyse, entropy, generalisation_bound, surplus
from mien.reproduction.claims import A_CNN, A_MFLOPS, A_RECEPTIVE_FIELDS, published
from mien.reproduction.finding import Finding, conclude
from mien.reproduction.rounding import join

TRAINING, TEST, SIDE = 5224, 1306, 48

LOSS = 0.308
"""Test loss in nats, as rounded in section VI.B and Table V."""

STEPS = 41
"""Steps of scoring the test set, as Fig. 2 prints them."""

SAVING = 8.9
"""Times that a depthwise separable convolution is cheaper, by equation 27."""

SUPPORTS = {label: row.support for label, row in A_CNN.rows.items()}

finding = partial(conclude, "A")


def claimed(model: str, what: str, where: str = "") -> float:
    """Return the value of a claim of system A; ``where`` chooses among several places that state it."""
    claims = published("A").claims
    return next(one.value for one in claims if (one.model, one.what) == (model, what) and where in one.where)


def analyse_both() -> tuple[Analysis, Analysis, int]:
    """Analyse the CNN and MobileNetV2 with ten outputs at 48×48; also count MobileNetV2's running averages.

    Keras counts these as parameters.
    """
    from torchvision.models import mobilenet_v2

    with torch.random.fork_rng(devices=[]):  # new weights must not advance the caller's random state
        network = analyse(FourBlock(10), SIDE)
        backbone: nn.Module = mobilenet_v2(weights=None, num_classes=10)
    averages = sum(buffer.numel() for buffer in backbone.buffers() if buffer.is_floating_point())
    return network, analyse(backbone, SIDE, 3), averages


def judge_cost(network: Analysis) -> list[Finding]:
    """Judge the statements on the CNN's arithmetic."""
    own = [block.flops / 1e6 for block in network.blocks]
    total, printed = network.flops / 1e6, list(A_MFLOPS.values())
    share = own[2] / total
    return [
        finding(
            "FLOPs per block and in all (Table III)",
            f"{join(printed, 1)}, total {sum(printed):.1f} MFLOPs",
            f"{join(own, 1)}, total {total:.1f} MFLOPs",
            all(abs(a - b) <= 0.05 for a, b in zip(own, printed, strict=True)),
            why="Equation 28 on the convolutions and equation 29 on the dense layers of the published network: each "
            "block from the second on has twice the channels on a quarter of the pixels, so the three cost the same.",
            agreed="The table has these values.",
        ),
        finding(
            "Block 3 takes the largest share, cost growing with the square of the width (section IV.L)",
            f"{printed[2] / sum(printed) * 100:.1f} %",
            f"{share * 100:.1f} %",
            abs(share - printed[2] / sum(printed)) < 0.001,
            differs="The growth with the width is undone by pooling, which equation 28 counts in H·W.",
        ),
    ]


def judge_sight(network: Analysis) -> list[Finding]:
    """Judge the statements on receptive fields."""
    fields = [block.field for block in network.blocks if block.field and block.side]
    sizes = tuple(field.size for field in fields)
    stated = tuple(1 + sum(2 * 2**i for i in range(block + 1)) for block in range(4))
    last, side = fields[-1], network.blocks[3].side or 0
    whole = last.count_whole(side, SIDE) ** 2
    return [
        finding(
            "Receptive field of blocks 1 to 4, pixels (Table II)",
            join(A_RECEPTIVE_FIELDS),
            join(sizes),
            sizes == A_RECEPTIVE_FIELDS,
            why="Recursion of Araujo et al. (2019) over every layer, before the block's pooling.",
            agreed="The table has these values.",
            differs=_explain_fields(sizes),
        ),
        finding(
            "Table II follows from equation 12",
            join(A_RECEPTIVE_FIELDS),
            join(stated),
            stated == A_RECEPTIVE_FIELDS,
            differs="Equation 12 has one 3×3 convolution a block and no pooling window; the network has two and a "
            "window of 2.",
        ),
        finding(
            "In block 4 each neuron sees the whole 48×48 face (section IV.E)",
            f"all {side * side} units",
            f"{whole} of {side * side} units",
            whole == side * side,
            differs=f"A field of {last.size} pixels is larger than the face, but centred on its unit: towards the "
            "border it covers padding on one side and misses pixels on the other. Only global pooling joins the whole "
            "face."
            if last.size > SIDE
            else f"A field of {last.size} pixels is not larger than the face.",
        ),
    ]


def _explain_fields(sizes: Sequence[int]) -> str:
    """Return what the pooling layers add that Table II leaves out, if that is the difference."""
    pairs = zip(sizes, A_RECEPTIVE_FIELDS, strict=True)
    missing = [own - printed for own, printed in pairs]
    added = [after - before for before, after in pairwise(missing)]
    if missing[0] or min(added) < 0 or not any(added):
        return ""
    places = {1: "first", 2: "second", 3: "third"}
    counts = [(places[index], count) for index, count in enumerate(added, 1) if count]
    names, pixels = (" and ".join(str(value) for value in column) for column in zip(*counts, strict=True))
    return f"The table leaves out what the {names} pooling add, {pixels} pixels."


def judge_sizes(network: Analysis, other: Analysis, averages: int) -> list[Finding]:
    """Judge the statements on parameters, FLOPs and steps of both networks; averages: MobileNetV2's running ones."""
    head = other.blocks[-1].parameters
    bare = other.parameters - head + averages
    steps, halves = ceil(TEST / 64), ceil(TEST / 32)
    own, backbone = claimed("CNN", "parameters"), claimed("MobileNetV2", "parameters")
    integers = claimed("CNN", "int8 size")
    return [
        finding(
            "Parameters of the CNN (Table V)",
            f"{own:.2f} M",
            f"{network.parameters:,}",
            round(network.parameters / 1e6, 2) == own,
            why="With dense layers of 512 and 256, which the document does not state.",
        ),
        finding(
            "Parameters of the fine-tuned MobileNetV2 (Table V)",
            f"{backbone:.2f} M",
            f"{(bare + head) / 1e6:.2f} M",
            round((bare + head) / 1e6, 2) == backbone,
            differs=f"{backbone:.2f} M is the backbone alone, {bare:,} with its running averages; its ten-class head, "
            f"which the CNN's count has, is left out. A plain linear head adds {head:,}."
            if round(bare / 1e6, 2) == backbone
            else f"Nor is it the backbone alone, {bare:,} with its running averages.",
        ),
        finding(
            "The FLOP analysis shows the CNN's advantage over MobileNetV2 (section VII)",
            "the CNN needs less",
            f"CNN {network.flops / 1e6:.1f}, MobileNetV2 {other.flops / 1e6:.1f} MFLOPs at 48×48",
            network.flops < other.flops,
            why=f"The CNN does {network.flops / other.flops:.2g} times the arithmetic of MobileNetV2.",
        ),
        finding(
            "The test set is scored in batches of 64 (Table IV)",
            f"{STEPS} steps",
            f"{steps} steps; {halves} with batches of 32",
            steps == STEPS,
            differs=f"{STEPS} steps mean that evaluate ran with its default of 32, so ms/step are those of 32 faces."
            if halves == STEPS
            else "",
        ),
        finding(
            "INT8 weights take about 1.4 MB (section VI.C)",
            f"{integers:g} MB",
            f"{network.parameters / 1e6:.2f} MB",
            round(network.parameters / 1e6, 1) == integers,
            why="One byte a parameter, before scales and graph.",
        ),
    ]


def judge_theory(parameters: int) -> list[Finding]:
    """Judge the statements on bounds of loss and error, and on convolutions."""
    floor, bound = entropy(SUPPORTS), generalisation_bound(parameters, TRAINING)
    reduction = 1 / (1 / 256 + 1 / 9)
    gain = claimed("CNN", "information surplus")
    subtracted = "right" if abs(surplus(10, LOSS) - gain) < 0.0005 else "wrong"
    refuted = "; the document's own loss refutes its equation" * (floor > LOSS)
    return [
        finding(
            "No loss lies below the entropy of the labels (equation 18)",
            f"loss {LOSS} ≥ H(y)",
            f"H(y) = {floor:.3f} nats on Table I",
            floor <= LOSS,
            why="H(y) is the floor of predictors that do not see the face. One that does is bounded by H(y|x), which "
            f"nobody knows{refuted}.",
        ),
        finding(
            "Information surplus is the mutual information learned (section VI.B)",
            f"{log(10):.3f} − {LOSS} = {gain:.3f} nats",
            f"{surplus(10, LOSS):.3f} against uniform labels, {floor - LOSS:.3f} against Table I's",
            abs(floor - LOSS - gain) < 0.0005,
            differs=f"The subtraction is {subtracted}, for ten classes of the same size. With the classes as they "
            f"are, a predictor that never sees a face already reaches {floor:.3f} nats.",
        ),
        finding(
            "VC bound on the generalisation error (equation 14)",
            "a bound",
            "no real value" if bound.value is None else f"{bound.value:.3f}",
            not bound.vacuous,
            why=f"{bound.why}.",
            differs="The bound speaks of networks with far fewer parameters than faces.",
        ),
        finding(
            "Saving by depthwise separable convolution (equation 27)",
            f"1/256 + 1/9 ≈ {SAVING:g} ×",
            f"{reduction:.2f} ×",
            round(reduction, 1) == SAVING,
            why="The inverse of the sum that the equation states.",
        ),
    ]
