"""The published results of systems A to E, with the table, figure or section that states each.

Literal data, copied from the documents and not corrected: errors stay as printed, and ``contradictions`` points them
out. Shares are fractions in [0, 1]; class names are Mien's, except for system A, whose ten classes keep their own
names (``labels.SYSTEM_A``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mien.errors import OptionError, nearest


@dataclass(frozen=True)
class Claim:
    """One published value.

    Attributes:
        what: the quantity.
        model: the model it belongs to.
        value: a fraction for shares, else in ``unit``.
        where: the table, figure or section that states it.
    """

    system: str
    what: str
    model: str
    value: float
    where: str
    unit: str = ""

    def text(self) -> str:
        """Format the value for a page: shares in percent, other values with their unit."""
        return f"{self.value:.2%}".replace("%", " %") if not self.unit else f"{self.value:g} {self.unit}"


@dataclass(frozen=True)
class Scores:
    """One class of a classification report, as printed: fractions of two decimals, and the number of faces."""

    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Report:
    """A printed classification report.

    Attributes:
        rows: class → scores.
        total: the printed number of faces.
        accuracy: as printed.
        macro, weighted: the printed averages (precision, recall, F1); None where the document prints none.
    """

    rows: Mapping[str, Scores]
    total: int
    accuracy: float
    macro: tuple[float, float, float] | None = None
    weighted: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class System:
    """One document.

    Attributes:
        recipes: model, as the claims name it → names of the recipes that reproduce it.
        schedules: the recipes that train as the document says, as far as it says it.
    """

    title: str
    summary: str
    claims: tuple[Claim, ...]
    recipes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    schedules: tuple[str, ...] = ()


A_CNN = Report(
    {
        "anger": Scores(0.83, 1.00, 0.90, 19),
        "angry": Scores(0.93, 0.93, 0.93, 153),
        "contempt": Scores(1.00, 0.75, 0.86, 12),
        "disgust": Scores(0.99, 0.90, 0.94, 196),
        "fear": Scores(0.96, 0.89, 0.92, 188),
        "happy": Scores(1.00, 1.00, 1.00, 185),
        "neutral": Scores(0.89, 0.98, 0.93, 172),
        "sad": Scores(0.90, 0.89, 0.90, 161),
        "sadness": Scores(0.80, 0.86, 0.83, 14),
        "surprise": Scores(0.94, 1.00, 0.97, 206),
    },
    total=1306,
    accuracy=0.94,
    macro=(0.92, 0.92, 0.92),
    weighted=(0.94, 0.94, 0.94),
)
"""System A, Fig. 3."""

A_MOBILENET = Report(
    {
        "anger": Scores(0.90, 1.00, 0.95, 19),
        "angry": Scores(0.91, 0.90, 0.90, 153),
        "contempt": Scores(1.00, 1.00, 1.00, 12),
        "disgust": Scores(0.86, 0.91, 0.88, 196),
        "fear": Scores(0.85, 0.83, 0.84, 188),
        "happy": Scores(0.93, 0.96, 0.94, 185),
        "neutral": Scores(0.93, 0.83, 0.87, 172),
        "sad": Scores(0.77, 0.79, 0.78, 161),
        "sadness": Scores(1.00, 0.86, 0.92, 14),
        "surprise": Scores(0.90, 0.92, 0.91, 206),
    },
    total=1306,
    accuracy=0.88,
    macro=(0.91, 0.90, 0.90),
    weighted=(0.88, 0.88, 0.88),
)
"""System A, Fig. 7."""

A_SOURCES = {
    "anger": "CK+",
    "angry": "KDEF",
    "contempt": "CK+",
    "disgust": "Both",
    "fear": "Both",
    "happy": "Both",
    "neutral": "Both",
    "sad": "KDEF",
    "sadness": "CK+",
    "surprise": "Both",
}
"""System A, Table I: which corpus each class comes from. Its counts are the supports of ``A_CNN``."""

A_MFLOPS = {"block 1": 27.1, "block 2": 54.3, "block 3": 108.5, "block 4": 28.3, "dense": 2.7}
"""System A, Table III; its printed total is 220.9."""

A_RECEPTIVE_FIELDS = (5, 14, 30, 62)
"""System A, Table II: pixels, blocks 1 to 4."""

A_LEADS = {"MobileNetV2": ("anger", "contempt", "happy", "sadness")}
"""System A, Fig. 11: the classes on which MobileNetV2 is said to have the higher F1; the CNN leads on six."""

C_REPORT = Report(
    {
        "happiness": Scores(0.87, 0.85, 0.86, 6215),
        "sadness": Scores(0.74, 0.71, 0.72, 4850),
        "anger": Scores(0.70, 0.68, 0.69, 4132),
        "fear": Scores(0.65, 0.62, 0.63, 3847),
        "disgust": Scores(0.61, 0.59, 0.60, 2500),
        "surprise": Scores(0.82, 0.80, 0.81, 5056),
        "neutral": Scores(0.79, 0.76, 0.77, 6500),
    },
    total=35887,
    accuracy=0.86,
)
"""System C, Tables I to IV."""

C_OVERALL = {"precision": 0.77, "recall": 0.74, "f1": 0.75}
"""System C, the lines Overall of Tables II to IV."""

C_ACCURACY = {
    "happiness": 0.92,
    "sadness": 0.88,
    "anger": 0.85,
    "fear": 0.82,
    "disgust": 0.80,
    "surprise": 0.90,
    "neutral": 0.87,
}
"""System C, Table I: "accuracy" per class, which the document does not define."""

C_FIGURE_3 = {
    "happiness": 0.85,
    "sadness": 0.72,
    "anger": 0.69,
    "fear": 0.63,
    "disgust": 0.60,
    "surprise": 0.81,
    "neutral": 0.77,
}
"""System C, section IV.2: the recalls that the text takes from its Fig. 3."""

D_TRAIN = {
    "happiness": 7215,
    "neutral": 4965,
    "sadness": 4830,
    "fear": 4097,
    "anger": 3995,
    "surprise": 3171,
    "disgust": 436,
}
"""System D, Dataset Description: images per class in the training set."""

E_TRAIN = {
    "happiness": 1774,
    "sadness": 1247,
    "fear": 1024,
    "surprise": 831,
    "neutral": 1233,
    "anger": 958,
    "disgust": 111,
}
"""System E, Table 1, the column it calls Train."""

E_TEST = {
    "happiness": 7215,
    "sadness": 4830,
    "fear": 4097,
    "surprise": 3171,
    "neutral": 4965,
    "anger": 3995,
    "disgust": 436,
}
"""System E, Table 1, the column it calls Test."""

FER2013_COUNTS = {
    "happiness": 8989,
    "sadness": 6077,
    "fear": 5121,
    "surprise": 4002,
    "neutral": 6198,
    "anger": 4953,
    "disgust": 547,
}
"""System E, Table 1, the column Total: used as FER2013's class counts where the corpus is not available."""

E_RECALLS = {"fear": 0.80, "happiness": 0.73, "sadness": 0.67, "disgust": 0.25, "neutral": 0.73, "surprise": 1.0}
"""System E, section 5, on Fig. 9: the diagonal of the normalised matrix as far as the text states it. Neutral is
"27 % misclassified", surprise "perfect separation"; for anger it only says that a quarter is predicted as neutral."""

E_ANGER_TO_NEUTRAL = 0.25
"""System E, section 5, on Fig. 9."""

E_LITERATURE = {
    "CNN": 0.6667,
    "SVM": 0.4595,
    "VGGNet": 0.7328,
    "CLCM": 0.63,
    "MobileNetV2": 0.58,
    "ShuffleNetV2": 0.65,
    "proposed": 0.7013,
}
"""System E, Table 3."""

_A = (
    Claim("A", "accuracy", "CNN", 0.9051, "abstract, Fig. 2, Table V"),
    Claim("A", "accuracy", "CNN", 0.8990, "Fig. 2, progress line"),
    Claim("A", "accuracy", "CNN", 0.94, "Fig. 3, Fig. 9, Fig. 10"),
    Claim("A", "macro F1", "CNN", 0.92, "abstract, Fig. 3, Table V"),
    Claim("A", "weighted F1", "CNN", 0.94, "Fig. 3, Table V"),
    Claim("A", "loss", "CNN", 0.3084, "Fig. 2", "nats"),
    Claim("A", "training accuracy", "CNN", 0.99, "section V.B"),
    Claim("A", "parameters", "CNN", 1.44, "Table V", "M"),
    Claim("A", "time", "CNN", 3, "Table V", "ms/step"),
    Claim("A", "compute", "CNN", 220.9, "Table III", "MFLOPs"),
    Claim("A", "int8 size", "CNN", 1.4, "section VI.C", "MB"),
    Claim("A", "information surplus", "CNN", 1.995, "section VI.B", "nats"),
    Claim("A", "accuracy", "MobileNetV2", 0.8806, "abstract, Fig. 5, Table V"),
    Claim("A", "macro F1", "MobileNetV2", 0.90, "abstract, Fig. 7, Table V"),
    Claim("A", "weighted F1", "MobileNetV2", 0.88, "Fig. 7, Table V"),
    Claim("A", "loss", "MobileNetV2", 0.5496, "Fig. 5", "nats"),
    Claim("A", "parameters", "MobileNetV2", 2.26, "Table V", "M"),
    Claim("A", "time", "MobileNetV2", 16, "Table V", "ms/step"),
    Claim("A", "speed-up of the CNN", "MobileNetV2", 5.3, "section VI.C", "×"),
    Claim("A", "imbalance ratio", "corpus", 17.2, "equation 2", "×"),
    Claim("A", "faces", "corpus", 6530, "abstract", "faces"),
    Claim("A", "training faces", "corpus", 5224, "equation 1", "faces"),
    Claim("A", "test faces", "corpus", 1306, "equation 1", "faces"),
)

_B = (
    Claim("B", "epochs", "CNN", 20, "section 3.5.1.2", "epochs"),
    Claim("B", "best epoch", "CNN", 8, 'section 3.5.1.1, "epoch 7-8"', "epochs"),
    Claim("B", "accuracy on RAF-DB", "A-MobileNet, cited", 0.8449, "section 2"),
    Claim("B", "accuracy on FERPlus", "A-MobileNet, cited", 0.8811, "section 2"),
    Claim("B", "accuracy on an unnamed set", "SVM, cited", 0.99, "section 2"),
)

_C = (
    Claim("C", "accuracy", "CNN", 0.86, "Table I, section V"),
    Claim("C", "precision", "CNN", 0.77, "Table II"),
    Claim("C", "recall", "CNN", 0.74, "Table III"),
    Claim("C", "F1", "CNN", 0.75, "Table IV"),
    Claim("C", "faces", "corpus", 35887, "Tables I to IV", "faces"),
    Claim("C", "share of the test part", "corpus", 0.15, "section IV"),
)

_D = (
    Claim("D", "accuracy", "Custom CNN", 0.6154, "Accuracy Comparison"),
    Claim("D", "accuracy", "MobileNetV2, fine-tuned", 0.5706, "Accuracy Comparison"),
    Claim("D", "accuracy", "MobileNetV2, head only", 0.4223, "Accuracy Comparison"),
    Claim("D", "accuracy", "VGGNet, cited", 0.7328, "Related Work"),
    Claim("D", "training faces", "corpus", 28709, "Dataset Description", "faces"),
    Claim("D", "test faces", "corpus", 7178, "Dataset Description", "faces"),
)

_E = (
    Claim("E", "accuracy", "CNN", 0.7013, "section 5, Table 3"),
    *(
        Claim("E", "accuracy", f"{name}, cited", value, "Table 3")
        for name, value in E_LITERATURE.items()
        if name != "proposed"
    ),
    *(Claim("E", f"recall of {label}", "CNN", value, "section 5, Fig. 9") for label, value in E_RECALLS.items()),
    Claim("E", "batch size", "CNN", 32, "sections 3.5 and 3.6", "faces"),
    Claim("E", "batch size", "CNN", 64, "Table 2", "faces"),
    Claim("E", "training faces", "corpus", 28709, "section 2", "faces"),
    Claim("E", "test faces", "corpus", 7178, "section 2", "faces"),
)

CLAIMS: Mapping[str, System] = {
    "A": System(
        "Ten-class CNN on CK+ and KDEF",
        "CK+ apex frames and KDEF frontal photographs are merged without unifying their class names, which gives ten "
        "classes, and split 80/20 by image. A four-block CNN of 1.44 million parameters, trained from scratch, is set "
        "against MobileNetV2 with ImageNet weights, with an analysis of receptive fields, FLOPs and loss bounds.",
        _A,
        {"CNN": ("system-a-cnn", "system-a-cnn-by-subject"), "MobileNetV2": ("system-a-mobilenet",)},
        ("system-a-cnn", "system-a-cnn-by-subject", "system-a-mobilenet"),
    ),
    "B": System(
        "Seven-class CNN, data exploration and tuning",
        "FER2013 is explored (types, missing values, class counts, samples, quality), augmented, and learned by a CNN "
        "of convolution, pooling, dropout and dense layers in 20 epochs. Batch size, epochs and learning rate are "
        "discussed; PCA, HOG, KNN and SVM are the classical side. The document reports no test result.",
        _B,
        {
            "CNN": ("system-b", "system-b-tuned"),
            "HOG + SVM": ("hog-svm",),
            "PCA + SVM": ("pca-svm",),
            "PCA + KNN": ("pca-knn",),
        },
        ("system-b",),
    ),
    "C": System(
        "CNN with face detection",
        "Faces are found with Viola–Jones or MTCNN, turned grey, scaled to [0, 1] and 48×48 pixels, and classified by "
        "a CNN on FER2013 re-split 70/15/15, with accuracy, precision, recall and F1 per class.",
        _C,
        {"CNN": ("system-c",)},
        ("system-c",),
    ),
    "D": System(
        "Three models under focal loss",
        "A CNN from scratch and MobileNetV2, once with a frozen base and once fully fine-tuned, learn FER2013's "
        "Kaggle folders under focal loss and are compared by accuracy, confusion matrices and sample predictions.",
        _D,
        {
            "Custom CNN": ("system-d-cnn",),
            "MobileNetV2, fine-tuned": ("system-d-mobilenet",),
            "MobileNetV2, head only": ("system-d-mobilenet-head",),
        },
        ("system-d-cnn", "system-d-mobilenet", "system-d-mobilenet-head"),
    ),
    "E": System(
        "Class-weighted CNN, explained and deployed",
        "A batch-normalised CNN of widths 32 to 256 learns FER2013 with class weights and augmentation, is explained "
        "with Grad-CAM, compared with results from the literature and served on the web.",
        _E,
        {"CNN": ("system-e", "system-e-tuned"), "SVM, cited": ("hog-svm",)},
        ("system-e",),
    ),
}


def published(system: str) -> System:
    """Return one system by its letter.

    Raises:
        OptionError: another name.
    """
    if system not in CLAIMS:
        raise OptionError(f"No system {system!r}; there are {', '.join(CLAIMS)}.{nearest(system, tuple(CLAIMS))}")
    return CLAIMS[system]
