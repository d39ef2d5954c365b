"""What people who come from fer, DeepFace, ultralytics and py-feat type first, and what to write instead.

None of these names exists here. Each is answered by one error that names the right call.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mien.errors import OptionError

_CLASSES_ONLY = "nothing in its place: Mien gives classes, no action units, valence or arousal"

MODULE = {
    "FER": 'recognizer = mien.load(); FER(mtcnn=True) is mien.load(detector="mtcnn")',
    "DeepFace": 'mien.predict("photo.jpg")',
    "analyze": 'mien.predict("photo.jpg")',
    "YOLO": 'mien.load("model.onnx"), or mien.load() for the default model',
    "Detector": "mien.load()",
    "find": "Mien reads expressions and recognises nobody",
    "represent": "Mien reads expressions and recognises nobody",
    "stream": 'for frame in mien.Video("film.mp4"): …',
    "verify": "Mien reads expressions and recognises nobody",
}
"""Name that is looked for in ``mien`` → what to write."""

_NO_WEIGHTS = "Mien has no weights of other packages; its own are listed by mien models"

MODELS = {
    "deepface": _NO_WEIGHTS,
    "fer": _NO_WEIGHTS,
    "haar": "that is a detector: detector='haar', --detector haar",
    "hsemotion": _NO_WEIGHTS,
    "mtcnn": "that is a detector: detector='mtcnn', --detector mtcnn",
    "retinaface": "that is a detector; Mien's are yunet, haar and mtcnn",
    "yolo": _NO_WEIGHTS,
    "yunet": "that is a detector: detector='yunet', --detector yunet",
}
"""Name that is given as a model, in small letters → what to write."""

RECOGNIZER = {
    "analyze": "recognizer.predict(photo)",
    "analyse": "recognizer.predict(photo)",
    "batch_detect_emotions": "recognizer.predict([photo, …])",
    "classes": "recognizer.labels",
    "detect": "recognizer.predict(photo)",
    "detect_emotions": "recognizer.predict(photo)",
    "detect_image": "recognizer.predict(photo)",
    "detect_video": 'recognizer.stream(mien.Film("film.mp4"))',
    "export": "mien export RUN, on the command line",
    "info": "print(recognizer.card)",
    "names": "recognizer.labels",
    "predict_many": "recognizer.predict([photo, …])",
    "top_emotion": "result = recognizer.predict(photo); result.largest.emotion if result else None",
    "track": 'recognizer.stream(mien.Film("film.mp4"))',
    "train": "mien new or mien train, on the command line",
    "val": "mien evaluate, on the command line",
}

VIDEO = {
    "analyze": "for frame in video: print(frame.seconds, [person.emotion for person in frame.people])",
    "get_first_face": "[frame.people[0] for frame in video if frame.people]",
    "isOpened": "video.about, which opens the source and raises if it cannot be read",
    "read": "for frame in video: …",
    "release": "video.close()",
    "to_csv": "video.to_pandas().to_csv(path), or mien video FILE --out path, on the command line",
}

RESULT = {
    "arousal": _CLASSES_ONLY,
    "aus": _CLASSES_ONLY,
    "boxes": "[face.box.xyxy for face in result]",
    "dominant_emotion": "result.largest.emotion",
    "emotion": "result.largest.emotion, or [face.emotion for face in result]",
    "emotions": "[face.probabilities for face in result]",
    "faceboxes": "[face.box.xywh for face in result]",
    "landmarks": "[face.landmarks for face in result]",
    "masks": "Mien finds faces, not their outlines: face.box",
    "names": "face.labels",
    "orig_img": "result.pixels",
    "orig_shape": "result.height, result.width",
    "path": "result.source",
    "plot_detections": "result.show(), or result.plot() for an array",
    "poses": "[face.pose for face in result]",
    "probs": "[face.probabilities for face in result]",
    "save_crop": "face.crop(), an array",
    "save_txt": 'result.save("faces.json")',
    "summary": "result.to_dict()",
    "to_csv": "result.to_pandas().to_csv()",
    "to_df": "result.to_pandas()",
    "tojson": "result.to_json()",
    "valence": _CLASSES_ONLY,
    "verbose": "repr(result)",
}

FACE = {
    "arousal": _CLASSES_ONLY,
    "aus": _CLASSES_ONLY,
    "boxes": "face.box.xyxy",
    "conf": "face.confidence of the emotion, face.score of the detector",
    "dominant_emotion": "face.emotion",
    "emotions": "face.probabilities",
    "face_confidence": "face.score",
    "keypoints": "face.landmarks",
    "label": "face.emotion",
    "names": "face.labels",
    "orig_img": "result.pixels",
    "plot": "result.plot(); predict returns the result of a photo, not a list",
    "probs": "face.probabilities",
    "region": "face.box",
    "save": "result.save(path); predict returns the result of a photo, not a list",
    "show": "result.show(); predict returns the result of a photo, not a list",
    "valence": _CLASSES_ONLY,
    "xywh": "face.box.xywh",
    "xyxy": "face.box.xyxy",
}

PREDICT = {
    "actions": "leave it out: emotions are all that Mien reads",
    "align": "leave it out: faces are turned upright where the detector gives landmarks",
    "classes": "mien.load(classes=[…])",
    "conf": "mien.load(threshold=…)",
    "detector_backend": "mien.load(detector=…)",
    "device": 'mien.load(device="cuda")',
    "enforce_detection": 'leave it out: no face is a result; for ready-made crops mien.load(detector="whole")',
    "expand_percentage": "leave it out: the crop is fixed for each detector",
    "face_rectangles": "recognizer.classify([crop, …])",
    "img": "predict(photo)",
    "img_path": "predict(photo)",
    "imgsz": "leave it out: photos of any size are read",
    "iou": "leave it out: the detector keeps one box a face",
    "max_det": "mien.load(max_faces=…)",
    "save": 'result.save("annotated.jpg")',
    "show": "result.show()",
    "silent": "leave it out: nothing is printed",
    "stream": 'recognizer.stream(mien.Film("film.mp4")) for a film; read_folder for a folder of any size',
    "verbose": "leave it out: nothing is printed",
}

LOAD = {
    "conf": "threshold=…",
    "detector_backend": "detector=…",
    "max_det": "max_faces=…",
    "min_face_size": "min_size=…",
    "mtcnn": 'detector="mtcnn"',
    "name": "model=…",
    "task": "leave it out: Mien reads emotions",
    "verbose": "leave it out: nothing is printed",
    "weights": "model=…",
}

OPTIONS = {
    "--batch": "leave it out: photos are read in batches",
    "--conf": "--threshold",
    "--detector-backend": "--detector",
    "--draw": "--save-annotated",
    "--gpu": "--device",
    "--imgsz": "leave it out: photos of any size are read",
    "--input": "give PATH without an option",
    "--max-det": "--max-faces",
    "--output": "--out",
    "--recursive": "leave it out: folders are searched through all levels",
    "--save": "--save-annotated",
    "--save-dir": "--save-annotated",
    "--source": "give PATH without an option",
    "--verbose": "leave it out: what matters is said",
    "--weights": "--model",
    "--workers": "--threads",
}
"""Option of other programs → ours, or what to do."""


def attribute_error(owner: str, name: str, calls: Mapping[str, str]) -> AttributeError:
    """Return the error for a name that ``owner`` does not have; it says what to write where ``calls`` knows."""
    hint = f" Write: {calls[name]}" if name in calls else ""
    return AttributeError(f"{owner} has no attribute {name!r}.{hint}" if hint else f"{owner} has no attribute {name!r}")


def keyword_error(call: str, given: Iterable[str], calls: Mapping[str, str]) -> OptionError | TypeError:
    """Return the error for keywords that ``call`` does not have: as Python's own, or with what to write."""
    name = next((name for name in given if name in calls), next(iter(given)))
    if name not in calls:
        return TypeError(f"{call}() got an unexpected keyword argument {name!r}")
    return OptionError(f"{call}() takes no {name!r}. Write: {calls[name]}")
