import numpy as np
import pytest
from corpora import bars

pytestmark = pytest.mark.train
pytest.importorskip("torch")

import torch  # noqa: E402

pytest.importorskip("pydantic")
pytest.importorskip("onnx")

from mien.errors import RecipeError  # noqa: E402
from mien.networks.consensus import Consensus  # noqa: E402
from mien.networks.face_residual import FaceResidual  # noqa: E402
from mien.networks.networks import FourBlock  # noqa: E402
from mien.networks.residual import Residual  # noqa: E402
from mien.recipes import recipe  # noqa: E402
from mien.recognition.model_files import bundle  # noqa: E402
from mien.recognition.session import OnnxSession  # noqa: E402
from mien.training import warm_start  # noqa: E402


def _crops(count: int = 96) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).normal(size=(count, 1, 48, 48)).astype(np.float32))


def _residual(classes: int, widths: tuple[int, ...] = (48, 96, 192)) -> Residual:
    torch.manual_seed(0)
    return Residual(classes, widths=widths, attention="se")


def _dense(network: Residual) -> torch.nn.Linear:
    (layer,) = (part for part in network.head.modules() if isinstance(part, torch.nn.Linear))
    return layer


@pytest.mark.parametrize(
    ("model", "network"),
    [("ferplus8", _residual(8)), ("fer2013-four-block", FourBlock(7))],
)
def test_started_network_computes_what_the_model_does(model: str, network: torch.nn.Module) -> None:
    about, crops = bundle.read(model), _crops()
    started = warm_start.start(network, model, about.labels.labels, crops)
    expected = OnnxSession(about.graph).logits(crops.numpy())
    with torch.no_grad():
        logits = network.eval()(crops).numpy()
    assert started.fresh == ()
    # The model's calibration multiplies and shifts each class's logit, which a training starts without.
    for got, want in zip(logits.T, expected.T, strict=True):
        slope, shift = np.polyfit(got, want, 1)
        assert slope > 0
        np.testing.assert_allclose(slope * got + shift, want, atol=1e-4)


def test_kernel_widened_by_input_smoothing_is_cut() -> None:
    about, crops = bundle.read("fer7"), _crops()
    network = _residual(7, (64, 128, 256))
    started = warm_start.start(network, "fer7", about.labels.labels, crops)
    with torch.no_grad():
        logits = network.eval()(crops).numpy()
    expected = OnnxSession(about.graph).logits(crops.numpy())
    assert "stem.0" in started.loaded
    assert all(np.corrcoef(got, want)[0, 1] > 0.8 for got, want in zip(logits.T, expected.T, strict=True))


def test_every_head_starts_from_the_models_classes_and_a_class_it_lacks_stays_random() -> None:
    labels = bundle.read("ferplus8").labels.labels
    classes = (*labels[:7], "boredom")
    network = _residual(3 * 8)
    random = _dense(network).weight.detach().clone()
    warm_start.start(Consensus(network, 8).network, "ferplus8", classes, _crops())
    weight = _dense(network).weight.detach()
    assert torch.equal(weight[:7], weight[8:15])
    assert torch.equal(weight[7::8], random[7::8])
    assert not torch.equal(weight[:7], random[:7])


def test_a_model_with_heads_and_float16_weights_starts_all_heads() -> None:
    about = bundle.read("world8")
    crops = torch.from_numpy(np.random.default_rng(0).normal(size=(48, 3, 112, 112)).astype(np.float32))
    network = Consensus(FaceResidual(6 * 8, 3), 8)
    started = warm_start.start(network.network, "world8", about.labels.labels, crops)
    with torch.no_grad():
        logits = network.eval()(crops, heads=True).numpy()
    expected = OnnxSession(about.graph).logits(crops.numpy())
    assert started.fresh == ()
    assert not np.allclose(logits[:, 0], logits[:, 1], atol=0.1)
    for got, want in zip(logits[:, 0].T, expected.T, strict=True):
        slope, shift = np.polyfit(got, want, 1)
        assert slope > 0
        np.testing.assert_allclose(slope * got + shift, want, atol=1e-3)


def test_other_widths_are_refused() -> None:
    with pytest.raises(RecipeError, match="no layer in common"):
        warm_start.start(FaceResidual(8, 3), "ferplus8", ("a",) * 8, torch.zeros(4, 3, 48, 48))


def test_a_recipe_without_a_start_leaves_the_network_as_it_is() -> None:
    faces = bars({"Training": 4})
    network = _residual(7)
    before = _dense(network).weight.detach().clone()
    warm_start.begin(network, recipe.load("fer7"), faces)
    assert torch.equal(_dense(network).weight, before)
    changed = recipe.load("fer7").with_values({"network.start": "fer7", "network.widths": (48, 96, 192)})
    with pytest.raises(RecipeError, match="no layer in common"):
        warm_start.begin(FaceResidual(7, 1), changed, faces)
