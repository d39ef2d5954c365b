"""The tables of a recipe: every key with its meaning, its limits and its default. ``recipe`` puts them together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from mien import labels

Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=1)]
Number = Annotated[int, Field(ge=0)]
Width = Annotated[int, Field(ge=2)]


class Table(BaseModel):
    """Base of all tables: unknown keys are errors, numbers finite; values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CorpusHead(Table):
    """One way of naming expressions: the labels, or the votes, of some corpora.

    datasets: the corpora that speak so, as a manifest's column ``dataset`` names them.
    votes:    learn their votes as soft targets; faces without votes then say nothing here. Otherwise their labels.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    datasets: Annotated[tuple[str, ...], Field(min_length=1)]
    votes: bool = False


class CorporaTable(Table):
    """Several corpora in one training; ``corpora`` says how.

    shares:    share of the drawn faces that comes from a corpus, by its name; corpora left out are not drawn.
    draws:     faces an epoch; 0 takes as many as there are.
    balance:   0 draws a corpus's faces alike, 1 its classes alike; between them the chance of a face falls with its
               class's size to that power.
    heads:     the network answers for each of them, besides the consensus that ships. Of several heads that a face has
               a target for, the consensus learns the first one's. Empty: only the consensus.
    agreement: share of the consensus' target that is the mean answer of all heads to the same face, as of annotators
               (Guan et al. 2018, "Who Said What"); the rest is the face's own target.
    masked:    corpora whose faces are cut out on black.
    uncut:     corpora whose classes no other corpus of their head shows, with faces that are not cut out, beside
               ``masked`` ones: in training they get those outlines, or a network would tell the classes by them.
    """

    shares: dict[str, Positive] = {}
    draws: Number = 0
    balance: Probability = 0.5
    heads: tuple[CorpusHead, ...] = ()
    agreement: Probability = 0.5
    masked: tuple[str, ...] = ()
    uncut: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _heads_speak_of_shares(self) -> CorporaTable:
        if self.heads and not self.shares:
            raise ValueError("corpora.heads need corpora.shares, which says what is drawn from where")
        strange = [name for head in self.heads for name in head.datasets if name not in self.shares]
        if strange:
            raise ValueError(f"corpora.heads name {strange[0]!r}, which corpora.shares does not; give it a share")
        return self


class DataTable(Table):
    """Which face plays which part; where the faces lie is said at run time.

    scheme:   label set by its name in ``labels``; empty takes the smallest that holds all labels of the data.
    classes:  classes of the user's own, in the model's order, instead of a ``scheme``.
    split:    ``own`` keeps the corpus's parts; ``image`` and ``subject`` draw new ones in the proportions ``shares``
              (train, validation, test), every class alike, ``subject`` with each person in one part only.
    hold_out: share of the training faces set apart to choose the epoch on; all faces of the corpus's other parts
              are then test faces (system D tests on FER2013's PublicTest and PrivateTest together).
    seed:     of the draw; it does not change with ``train.seed``, so that several seeds share one split.
    votes:    learn the FER+ votes as soft targets; faces without votes keep their label.
    oversample: 0 draws each face once an epoch; 1 draws all classes equally often (system E); between them the
              chance of a face falls with its class's size to that power.
    corpora:  several corpora in one training, instead of ``votes`` and ``oversample``.
    limit:    faces of each split that are used at most, as many of each corpus and class, one of each at least; 0: all.
    """

    scheme: str = ""
    classes: tuple[str, ...] = ()
    split: Literal["own", "image", "subject"] = "own"
    shares: Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3)] = (70.0, 15.0, 15.0)
    hold_out: Fraction = 0.0
    seed: Number = 0
    votes: bool = False
    oversample: Probability = 0.0
    corpora: CorporaTable = CorporaTable()
    limit: Number = 0

    @field_validator("scheme")
    @classmethod
    def _known(cls, name: str) -> str:
        if name:
            labels.scheme(name)
        return name

    @model_validator(mode="after")
    def _one_of_both(self) -> DataTable:
        if self.classes:
            labels.own(self.classes)
        if self.classes and self.scheme:
            raise ValueError("data.scheme and data.classes exclude each other; leave one out")
        if self.corpora.shares and (self.votes or self.oversample):
            raise ValueError("data.corpora has its own heads and balance; leave data.votes and data.oversample out")
        return self

    def label_scheme(self) -> labels.Scheme | None:
        """Return the scheme that the table names; None to take the smallest that fits the data."""
        if self.classes:
            return labels.own(self.classes)
        return labels.scheme(self.scheme) if self.scheme else None


class NetworkTable(Table):
    """Which network, by its name in ``networks.NETWORKS`` or as ``torchvision:NAME``; its other keys are options.

    An option left out has the network's own published default; one that the network does not have is an error.
    dropout: before the dense layers.  spatial_dropout: of whole feature maps, after each block.
    attention: in each block (squeeze-excitation, Hu et al. 2018; CBAM, Woo et al. 2018).
    pretrained: start from torchvision's ImageNet weights, ``face_residual`` from dlib's of faces.
    stride: of a backbone's first convolution; 1 keeps twice the resolution at four times the cost.
    widths, blocks: of ``residual``, maps of each stage and blocks in each;
    separable: its blocks of depthwise and pointwise convolutions.
    """

    name: str = "four_block"
    spatial_dropout: Fraction | None = None
    dropout: Fraction | None = None
    attention: Literal["se", "cbam"] | None = None
    pretrained: bool | None = None
    stride: Literal[1, 2] | None = None
    widths: Annotated[tuple[Width, ...], Field(min_length=1)] | None = None
    blocks: Count | None = None
    separable: bool | None = None


class HarmoniseTable(Table):
    """What differs between corpora and says nothing of expressions, made random: the probability for a training face.

    fill: what lies outside of a face that is cut out on black becomes a colour, noise or another face's surroundings.
    mask: other faces are cut out, by the outline of a face that is, or by an oval where none is.
    grey: colour is taken away.  cast: the light is coloured.
    """

    fill: Probability = 0.0
    mask: Probability = 0.0
    grey: Probability = 0.0
    cast: Probability = 0.0


class HeadTable(Table):
    """A finished model's network with a new last layer; ``head`` says how.

    trunk:   the model, by the name of a shipped one or as the path of a model file. Its dense layers are taken away.
    c:       inverse strengths of the ℓ2 penalty; the one with the lowest log-loss on the validation part is kept.
    mirror:  learn from the mirror image of every training face too.
    class_weights: 0 weights all faces alike; 1 weights classes inversely to their size; between them the weight falls
             with the class's size to that power.
    """

    trunk: str = "default"
    c: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    mirror: bool = True
    class_weights: Probability = 0.0


class AugmentTable(Table):
    """Random changes to each training face; 0 switches a change off.

    flip, vertical_flip: probability of mirroring. rotate: ± degrees. shift: ± fraction of the side.
    zoom: ± fraction of the size. brightness: ± fraction, a factor on the network's input.
    erase: probability of blanking one rectangle of 2–15 % of the area (Zhong et al. 2020).
    mixup, cutmix: α of the Beta distribution that two faces and their targets are mixed with (Zhang et al. 2018,
    Yun et al. 2019); with both set each batch takes one of them.
    """

    flip: Probability = 0.5
    vertical_flip: Probability = 0.0
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift: Fraction = 0.0
    zoom: Fraction = 0.0
    brightness: Fraction = 0.0
    erase: Probability = 0.0
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0


class DegradeTable(Table):
    """What cameras, light and things before a face do to it: the probability of each for a training face; 0 is never.

    ``degrade`` has the ranges, in this order: light: gamma, gain and a ramp across the face.  cover: one dark, pale or
    patterned shape over a part.  resolution: shrunk and enlarged again.  blur: out of focus, or moved.  noise: of the
    sensor.  jpeg: compressed.
    """

    light: Probability = 0.0
    cover: Probability = 0.0
    resolution: Probability = 0.0
    blur: Probability = 0.0
    noise: Probability = 0.0
    jpeg: Probability = 0.0


class LossTable(Table):
    """What is minimised; ``losses.Loss`` has the formulas.

    gamma, alpha: of the focal loss; alpha is one factor for all classes or one per class, in label order.
    label_smoothing: share of the target spread evenly over the classes.
    class_weights: 0 weights all faces alike; 1 weights classes inversely to their size ("balanced", system E);
                   between them the weight falls with the class's size to that power.
    """

    name: Literal["cross_entropy", "focal"] = "cross_entropy"
    gamma: NotNegative = 2.0
    alpha: Positive | tuple[Positive, ...] = 1.0
    label_smoothing: Fraction = 0.0
    class_weights: Probability = 0.0


class DistilTable(Table):
    """Other networks as teachers; ``distillation`` says how.

    answers: files that ``mien evaluate TEACHER --split Training --out FOLDER`` wrote (predictions.parquet, or
             predictions-flip.parquet with --views flip), one for each teacher; empty trains on the data's targets.
    models:  shipped models or model files that answer each augmented face anew (Beyer et al. 2022), in place of
             answers; every step costs their time too.
    rounds:  epochs for which the models answer; from then on the same augmented faces come again, and their answers
             with them, at no cost but memory (4 bytes a class, face and round). 0: new ones in every epoch.
    share:   of each target that is the mean of the teachers' answers; the rest is the face's own target.
    temperature: the answers' probabilities are taken to the power 1/temperature; above 1 makes them softer.
    """

    answers: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    rounds: Number = 0
    share: Probability = 0.5
    temperature: Positive = 1.0

    @model_validator(mode="after")
    def _one_kind_of_teacher(self) -> DistilTable:
        if self.answers and self.models:
            raise ValueError("distil.answers and distil.models exclude each other; leave one out")
        if self.rounds and not self.models:
            raise ValueError("distil.rounds counts the rounds of distil.models, and there are none; leave it out")
        return self


class CalibrateTable(Table):
    """What a network is given before it ships, fitted or chosen on the validation part.

    method:   ``temperature`` divides all logits by one number, which moves no prediction; ``vector`` scales and shifts
              the logits of each class first, within the exported graph (``calibration.fit_vector``).
    smooth:   how strongly each crop is smoothed at inference, as augmentation smooths the training faces: the weight
              of each neighbour in a pixel, along rows and columns (``calibrate.smooth_input``). Choose it on the
              validation set; 0.12 was right for two networks trained on rotated, shifted and zoomed faces only.
    balance:  how far the logits are moved from the classes' shares of the training part (0) to equal shares (1), within
              the graph too: logit adjustment, τ of Menon et al. 2021. For data whose rare classes are not as rare where
              the model is used. The temperature is then fitted for the classes' shares that this stands for.
    degraded: fit on the validation faces and on the same, degraded as ``[degrade]`` says: for worse photos than those.
    certain:  an answer is ``uncertain`` below the confidence from which on so large a share was right.
    """

    method: Literal["temperature", "vector"] = "temperature"
    smooth: Annotated[float, Field(ge=0, le=0.25)] = 0.0
    balance: Probability = 0.0
    degraded: bool = False
    certain: Annotated[float, Field(gt=0, lt=1)] = 0.8

    @property
    def in_graph(self) -> bool:
        """Whether the exported graph has a scale and a bias of each class that the network has not."""
        return self.method == "vector" or self.balance > 0


class Stage(Table):
    """From which epoch (counted from 0) on the training images are how many pixels wide."""

    epoch: Number
    size: Annotated[int, Field(ge=16)]


class TrainTable(Table):
    """The schedule.

    sizes:     image side by epoch; empty means the preprocess size throughout. Small images early save time
               (Howard 2018, progressive resizing); the last stage must be the preprocess size.
    schedule:  ``plateau`` multiplies the rate by 0.5 after ``plateau`` epochs without a lower validation loss.
    warmup:    fraction of a one-cycle run in which the rate rises.
    frozen:    epochs in which only a backbone's last layer learns; ``frozen`` = ``epochs`` trains the head only.
    thaw_rate: learning rate from then on; the schedule starts anew.
    decay:     weight decay, on matrices and kernels only: decaying biases and batch-norm gains only hurts.
               With ``adam`` and ``sgd`` this is the gradient of ℓ2 · decay / 2, so Keras' l2(1e-4) is decay 2e-4.
    decay_on:  ``dense`` decays the fully connected layers only (system A).
    clip:      largest norm of the gradient; 0 does not clip.
    ema:       decay per step of the exponential moving average of the weights; 0 switches it off.
    choose:    the epoch that ships has the highest validation accuracy, or the lowest validation loss.
    patience:  epochs without a better one after which training stops; 0 never stops early.
    bfloat16:  autocast, where the machine has instructions for it (``arithmetic.has_bfloat16``), float32 elsewhere.
    channels_last: memory layout. Both together 2.3 × faster than neither on a CPU with AVX-512 and its bfloat16.
    compile:   ``torch.compile``; pays on a GPU, and on a CPU only for long runs of large networks.
    """

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)] = 64
    sizes: tuple[Stage, ...] = ()
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    rate: Positive = 1e-3
    decay: NotNegative = 0.0
    decay_on: Literal["weights", "dense"] = "weights"
    schedule: Literal["constant", "one_cycle", "cosine", "plateau"] = "one_cycle"
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.2
    plateau: Count = 5
    frozen: Number = 0
    thaw_rate: NotNegative = 0.0
    clip: NotNegative = 0.0
    ema: Fraction = 0.0
    choose: Literal["accuracy", "loss"] = "accuracy"
    patience: Number = 0
    bfloat16: bool = True
    channels_last: bool = True
    compile: bool = False
    seed: Number = 0
