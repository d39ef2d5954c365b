"""The tables of a recipe: every key with its meaning, its limits and its default. ``recipe`` combines them."""

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

POOLED = ("residual", "face_residual")
"""Networks that end in global average pooling and one linear layer (``networks.pooled``)."""


class Table(BaseModel):
    """Base of all tables: frozen, with finite numbers; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CorpusHead(Table):
    """One labelling scheme: the labels, or the votes, of some corpora, for which the network gets a head.

    Attributes:
        datasets: the corpora with this scheme, as named in a manifest's column ``dataset``.
        votes: use their votes as soft targets, and no target for faces without votes; otherwise their labels.
    """

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
    datasets: Annotated[tuple[str, ...], Field(min_length=1)]
    votes: bool = False


class CorporaTable(Table):
    """Training on several corpora; see ``corpora``.

    Attributes:
        shares: relative share of the sampled faces per corpus, by its name; corpora left out are not sampled.
        draws: faces per epoch; 0 means the size of the training set.
        balance: 0 samples a corpus's faces uniformly, 1 its classes uniformly; in between, the probability of a face is
            its class's size to the power of minus this.
        heads: heads of the network besides the exported consensus. If a face has targets of several heads, the
            consensus learns that of the first. Empty: only the consensus.
        agreement: share of the consensus' target that is the mean prediction of all heads for the same face, treated
            like annotators (Guan et al. 2018, "Who Said What"); the rest is the face's own target.
        masked: corpora whose faces are cut out on black.
        uncut: corpora of uncut faces with classes that the other corpora of their head, ``masked`` ones, lack: in
            training they get those outlines, because otherwise the network would recognise the classes by them.
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
            raise ValueError("corpora.heads need corpora.shares, the sampling shares of the corpora")
        unknown = [name for head in self.heads for name in head.datasets if name not in self.shares]
        if unknown:
            raise ValueError(f"corpora.heads name {unknown[0]!r}, which corpora.shares does not; give it a share")
        return self


class DataTable(Table):
    """Labels, split and sampling of the data; its path is given at run time.

    Attributes:
        scheme: label set by its name in ``labels``; empty takes the smallest that contains all labels of the data.
        classes: the user's own classes, in the model's order, instead of a ``scheme``.
        split: ``own`` keeps the corpus's split; ``image`` and ``subject`` draw a new one in the proportions ``shares``
            (train, validation, test), stratified by class; ``subject`` keeps each person in one split.
        hold_out: share of the training faces used as validation set; all faces of the corpus's other splits are then
            test faces (system D tests on FER2013's PublicTest and PrivateTest together).
        seed: of the split; independent of ``train.seed``, so that several seeds share one split.
        folds: number of folds of a cross-validation; 0 for none. All labelled faces are dealt out to the folds by image
            or, where ``split`` is ``subject``, by person.
        fold: the fold that is the test set, from 1. Of the others a share is drawn in the same way as validation set:
            ``hold_out``, or the validation set's part of ``shares``.
        votes: use the FER+ votes as soft targets; faces without votes keep their label.
        oversample: 0 samples each face once per epoch; 1 samples all classes equally often (system E); in between, the
            probability of a face is its class's size to the power of minus this.
        corpora: training on several corpora, instead of ``votes`` and ``oversample``.
        apex: number of last frames of each CK+ sequence to use, 1 for one face a sequence; 0: all that the data has.
        limit: maximum number of faces per split, spread evenly over corpora and classes, at least one each; 0: all.
        memory: GiB of pixels up to which all faces are kept in memory. More are read from their sources batch by batch,
            which changes no weight; so the key does not count for the recipe's digest.
    """

    scheme: str = ""
    classes: tuple[str, ...] = ()
    split: Literal["own", "image", "subject"] = "own"
    shares: Annotated[tuple[Positive, ...], Field(min_length=3, max_length=3)] = (70.0, 15.0, 15.0)
    hold_out: Fraction = 0.0
    seed: Number = 0
    folds: Number = 0
    fold: Number = 0
    votes: bool = False
    oversample: Probability = 0.0
    corpora: CorporaTable = CorporaTable()
    apex: Number = 0
    limit: Number = 0
    memory: NotNegative = 1.0

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

    @model_validator(mode="after")
    def _fold_of_folds(self) -> DataTable:
        if self.folds == 1 or not (1 <= self.fold <= self.folds or self.fold == self.folds == 0):
            raise ValueError(f"fold {self.fold} of {self.folds}: expected two folds or more, and fold from 1 to folds")
        if self.folds and self.split == "own":
            raise ValueError("data.folds replaces the corpus's split; set data.split to subject or image")
        return self

    @property
    def validation_share(self) -> float:
        """Share of the training faces that a cross-validation draws as validation set."""
        return self.hold_out or self.shares[1] / (self.shares[0] + self.shares[1])

    @property
    def reading_limit(self) -> int:
        """Faces of each corpus, split and label that suffice for ``limit``; 0 if all are needed.

        A split that is drawn, and labels by votes, depend on all faces.
        """
        return 0 if self.split != "own" or self.hold_out or self.corpora.shares else self.limit

    def label_scheme(self) -> labels.Scheme | None:
        """Return the scheme that the table names; None to take the smallest that fits the data."""
        if self.classes:
            return labels.own(self.classes)
        return labels.scheme(self.scheme) if self.scheme else None


class NetworkTable(Table):
    """The network, by its name in ``networks.NETWORKS`` or as ``torchvision:NAME``, and its options.

    Options left out have the network's published default; an option that the network does not have is an error.

    Attributes:
        dropout: before the dense layers.
        spatial_dropout: of whole feature maps, after each block.
        attention: in each block (squeeze-excitation, Hu et al. 2018; CBAM, Woo et al. 2018).
        pretrained: start from torchvision's ImageNet weights, or for ``face_residual`` from dlib's face weights.
        start: start from the weights of a finished model of the same network: name, alias or model file.
        stride: of a backbone's first convolution; 1 doubles the resolution at four times the cost.
        widths, blocks: for ``residual``, maps and number of blocks of each stage.
        separable: for ``residual``, use depthwise and pointwise convolutions.
    """

    name: str = "four_block"
    spatial_dropout: Fraction | None = None
    dropout: Fraction | None = None
    attention: Literal["se", "cbam"] | None = None
    pretrained: bool | None = None
    start: str | None = None
    stride: Literal[1, 2] | None = None
    widths: Annotated[tuple[Width, ...], Field(min_length=1)] | None = None
    blocks: Count | None = None
    separable: bool | None = None


class HarmoniseTable(Table):
    """Randomise what differs between corpora independently of the expression; probabilities per training face.

    Attributes:
        fill: replace the black background of a cut-out face by a colour, noise or another face's background.
        mask: cut out other faces, by the outline of a cut-out face, or by an oval if there is none.
        grey: remove the colour.
        cast: add a colour cast.
    """

    fill: Probability = 0.0
    mask: Probability = 0.0
    grey: Probability = 0.0
    cast: Probability = 0.0


class HeadTable(Table):
    """A new last layer on a finished model's network; see ``head``.

    Attributes:
        trunk: the model, by the name of a shipped one or as the path of a model file. Its dense layers are removed.
        c: inverse strengths of the ℓ2 penalty; the one with the lowest log-loss on the validation set is selected.
        mirror: also train on the mirror image of every training face.
        class_weights: 0 weights all faces equally; 1 weights classes inversely to their size; in between, the weight is
            the class's size to the power of minus this.
    """

    trunk: str = "ferplus8"
    c: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    mirror: bool = True
    class_weights: Probability = 0.0


class AugmentTable(Table):
    """Random augmentation of each training face; 0 disables a transform.

    Attributes:
        flip, vertical_flip: probability of mirroring.
        rotate: ± degrees.
        shift: ± fraction of the side.
        zoom: ± fraction of the size.
        brightness: ± fraction, a factor on the network's input.
        erase: probability of blanking one rectangle (Zhong et al. 2020).
        erase_area: its largest share of the area; the smallest is 2 %.
        mixup, cutmix: α of the Beta distribution for mixing two faces and their targets (Zhang et al. 2018, Yun et al.
            2019); with both set, one of them is drawn for each batch.
    """

    flip: Probability = 0.5
    vertical_flip: Probability = 0.0
    rotate: Annotated[float, Field(ge=0, le=180)] = 0.0
    shift: Fraction = 0.0
    zoom: Fraction = 0.0
    brightness: Fraction = 0.0
    erase: Probability = 0.0
    erase_area: Annotated[float, Field(ge=0.02, le=1)] = 0.15
    mixup: NotNegative = 0.0
    cutmix: NotNegative = 0.0


class DegradeTable(Table):
    """Random degradations of training faces by camera, light and occlusion; probabilities, 0 disables one.

    Applied in this order, with the ranges of ``degrade``: light: gamma, gain and a ramp across the face.  cover: a
    dark, bright or noisy shape over a part.  resolution: downscaling and upscaling.  blur: defocus or motion.  noise:
    sensor noise.  jpeg: compression.
    """

    light: Probability = 0.0
    cover: Probability = 0.0
    resolution: Probability = 0.0
    blur: Probability = 0.0
    noise: Probability = 0.0
    jpeg: Probability = 0.0


class LossTable(Table):
    """The loss; ``losses.Loss`` has the formulas.

    Attributes:
        gamma, alpha: of the focal loss; alpha is one factor for all classes or one per class, in label order.
        label_smoothing: share of the target spread evenly over the classes.
        class_weights: 0 weights all faces equally; 1 weights classes inversely to their size ("balanced", system E); in
            between, the weight is the class's size to the power of minus this.
    """

    name: Literal["cross_entropy", "focal"] = "cross_entropy"
    gamma: NotNegative = 2.0
    alpha: Positive | tuple[Positive, ...] = 1.0
    label_smoothing: Fraction = 0.0
    class_weights: Probability = 0.0


class ConsistencyTable(Table):
    """Erasing attention consistency (Zhang et al. 2022, EAC), against noisy labels; see ``consistency``.

    Random erasing belongs to the method: set ``augment.erase``. The loss of the labels is that of the unflipped face
    alone, so leave ``augment.flip`` at 0.

    Attributes:
        weight: of the mean squared difference between the attention maps of a face and of its mirror image; 0 disables
            it, published is 5. Each step reads every face twice.
    """

    weight: NotNegative = 0.0


class SelfCureTable(Table):
    """Self-cure network (Wang et al. 2020, SCN), against noisy labels; see ``self_cure``.

    Attributes:
        weight: of the rank regularisation beside the loss of the importance-weighted logits; 0 disables the method,
            published is 1.
        high: share of a batch in the group of high importance.
        margin: by which the mean importance of that group must exceed the mean of the others.
        relabel_from: epoch, counted from 0, from which faces of the other group are relabelled; published is the tenth.
        relabel_margin: by which the highest probability must exceed that of the label.
    """

    weight: NotNegative = 0.0
    high: Annotated[float, Field(gt=0, lt=1)] = 0.7
    margin: NotNegative = 0.15
    relabel_from: Number = 9
    relabel_margin: Probability = 0.2


class DistilTable(Table):
    """Knowledge distillation from other networks; see ``distillation``.

    Attributes:
        answers: prediction files that ``mien evaluate TEACHER --split Training --out FOLDER`` wrote
            (predictions.parquet, or predictions-flip.parquet with --views flip), one per teacher; empty trains on the
            data's targets.
        models: shipped models or model files that are run on each augmented face (Beyer et al. 2022), instead of
            ``answers``; every step also takes their time.
        rounds: epochs after which augmented faces and the models' predictions repeat: no more time for the models, but
            memory (4 bytes per class, face and round). 0: new ones in every epoch.
        share: share of the teachers' mean prediction in each target; the rest is the face's own target. With
            ``corpora.heads`` in the target of the consensus; the heads learn their corpora alone.
        temperature: the teachers' probabilities are raised to the power 1/temperature; above 1 softens them.
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
            raise ValueError("distil.rounds needs distil.models, and there are none; leave it out")
        return self


class CalibrateTable(Table):
    """Calibration before export, fitted or selected on the validation set.

    Attributes:
        method: ``temperature`` divides all logits by one number, which changes no prediction; ``vector`` first scales
            and shifts the logits of each class, within the exported graph (``calibration.fit_vector``).
        smooth: how strongly each crop is smoothed at inference, as augmentation smooths the training faces: the weight
            of each neighbour in a pixel, along rows and columns (``calibrate.smooth_input``). Choose it on the
            validation set; 0.12 was right for two networks trained on rotated, shifted and zoomed faces only.
        balance: logit adjustment within the exported graph (τ of Menon et al. 2021), from the class prior of the
            training set (0) to a uniform prior (1), for use where the rare classes are less rare. The temperature is
            then fitted for the adjusted prior.
        absent: what a class means to the faces of a corpus that lacks it: ``masked`` leaves it out of their softmax
            while scales are fitted, so that nothing tells how rare it is there; ``counted`` takes it as wrong for them,
            as it is for most. Temperature and threshold always count it.
        degraded: fit on the validation faces and a degraded copy of each (``[degrade]``), for use on worse photos.
        certain: target accuracy of certain predictions; those below the confidence that reaches it are ``uncertain``.
    """

    method: Literal["temperature", "vector"] = "temperature"
    smooth: Annotated[float, Field(ge=0, le=0.25)] = 0.0
    balance: Probability = 0.0
    absent: Literal["masked", "counted"] = "masked"
    degraded: bool = False
    certain: Annotated[float, Field(gt=0, lt=1)] = 0.8

    @property
    def in_graph(self) -> bool:
        """Whether the exported graph adds a scale and a bias per class to the network."""
        return self.method == "vector" or self.balance > 0


class Stage(Table):
    """Image size in pixels from an epoch on, counted from 0."""

    epoch: Number
    size: Annotated[int, Field(ge=16)]


class TrainTable(Table):
    """Optimiser, schedule and training loop.

    Attributes:
        sizes: image side by epoch; empty means the preprocess size throughout. Small images at first save time (Howard
            2018, progressive resizing); the last stage must be the preprocess size.
        schedule: ``plateau`` multiplies the rate by 0.5 after ``plateau`` epochs without a lower validation loss,
            ``exponential`` by ``gamma`` after each epoch.
        warmup: fraction of a one-cycle run in which the rate rises.
        frozen: epochs in which only a backbone's last layer is trained; ``frozen`` = ``epochs`` trains the head only.
        thaw_rate: learning rate from then on; the schedule starts again.
        decay: weight decay, on matrices and kernels only: it hurts on biases and batch-norm gains. With ``adam`` and
            ``sgd`` this is the gradient of ℓ2 · decay / 2, so Keras' l2(1e-4) is decay 2e-4.
        decay_on: ``dense`` decays the fully connected layers only (system A).
        clip: maximum norm of the gradient; 0 does not clip.
        ema: decay per step of the exponential moving average of the weights; 0 disables it.
        choose: select the epoch with the highest validation accuracy, or with the lowest validation loss, or the last
            epoch, which selects nothing.
        patience: epochs without improvement after which training stops; 0 never stops early.
        bfloat16: autocast, where the hardware has instructions for it (``arithmetic.has_bfloat16``), float32 elsewhere.
        channels_last: memory layout. With ``bfloat16``, 2.3 × faster than with neither on a CPU with AVX-512 BF16.
        compile: ``torch.compile``; worth it on a GPU, and on a CPU only for long runs of large networks.
    """

    epochs: Count
    batch_size: Annotated[int, Field(ge=2)] = 64
    sizes: tuple[Stage, ...] = ()
    optimizer: Literal["adam", "adamw", "sgd"] = "adamw"
    rate: Positive = 1e-3
    decay: NotNegative = 0.0
    decay_on: Literal["weights", "dense"] = "weights"
    schedule: Literal["constant", "one_cycle", "cosine", "plateau", "exponential"] = "one_cycle"
    warmup: Annotated[float, Field(gt=0, lt=1)] = 0.2
    plateau: Count = 5
    gamma: Annotated[float, Field(gt=0, le=1)] = 0.9
    frozen: Number = 0
    thaw_rate: NotNegative = 0.0
    clip: NotNegative = 0.0
    ema: Fraction = 0.0
    choose: Literal["accuracy", "loss", "last"] = "accuracy"
    patience: Number = 0
    bfloat16: bool = True
    channels_last: bool = True
    compile: bool = False
    seed: Number = 0
