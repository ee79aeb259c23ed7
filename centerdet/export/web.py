"""A static page that runs an exported model in the browser, without a server-side part."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np

from centerdet.export.runtime import OnnxDetector
from centerdet.files import make_folder, open_regular, write_all_atomically
from centerdet.preprocessing import MIN_SIDE

PAGE_FORMAT = "centerdet page 1"
SOURCES = ("index.html", "style.css", "page.js", "image.js", "noise.js", "drawing.js", "worker.js")
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")  # of onnxruntime-web, for the CPU
EXAMPLES = tuple(f"examples/{number}.png" for number in range(1, 5))
EXAMPLE_SEED = 12  # of the example scenes
MAX_PIXELS = 2**22  # of an image: a browser took 8 s for so many
SETTINGS = "model.json"
PAGE_FILES = (*SOURCES, *(f"ort/{name}" for name in RUNTIME), *EXAMPLES, SETTINGS, "model.onnx")


def web_folder() -> Path:
    """The folder of the page's sources: inside an installed package, beside the package in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "web"
    return installed if installed.exists() else package.parent / "web"


def check_web_runtime() -> Path:
    """Checks that onnxruntime-web is installed, and returns the folder of its files.

    Raises:
        ValueError: If one of its files is missing.
    """
    folder = web_folder() / "node_modules" / "onnxruntime-web" / "dist"
    missing = [name for name in RUNTIME if not (folder / name).exists()]
    if missing:
        raise ValueError(
            f"a page needs onnxruntime-web ({missing[0]} is missing); install it: npm ci --prefix {web_folder()}"
        )
    return folder


def is_page(folder: Path) -> bool:
    """Whether a folder holds an earlier page."""
    try:
        with open_regular(folder / SETTINGS) as file:
            return json.loads(file.read(2**16)).get("format") == PAGE_FORMAT
    except (ValueError, OSError, AttributeError, RecursionError):
        return False


def write_page(folder: Path, model: Path, *, with_examples: bool) -> None:
    """Writes a page for a model; any static web server can serve the folder.

    Args:
        folder: The folder; it is made if it is missing. Files of an earlier page are replaced, all or none.
        model: The exported model.
        with_examples: Whether to add scenes of the task as examples.

    Raises:
        ValueError: If onnxruntime-web is not installed, the model is not one of ours, or a folder cannot be made.
        OSError: If a file cannot be written.
    """
    runtime, detector = check_web_runtime(), OnnxDetector(model)
    examples = _draw_examples() if with_examples else {}
    content = model.read_bytes()
    settings = {
        "format": PAGE_FORMAT,
        "threshold": detector.threshold,
        "intensity_range": detector.intensity_range,
        "has_heading": detector.has_heading,
        "trained_noise_level": detector.trained_noise_level,
        "noise_level": detector.noise_level,
        "minSide": MIN_SIDE,
        "maxPixels": MAX_PIXELS,
        "examples": list(examples),
        "digest": hashlib.sha256(content).hexdigest(),
    }
    files = {name: (web_folder() / name).read_bytes() for name in SOURCES}
    files |= {f"ort/{name}": (runtime / name).read_bytes() for name in RUNTIME}
    files |= examples | {"model.onnx": content, SETTINGS: (json.dumps(settings, indent=2) + "\n").encode()}
    for subfolder in {(folder / name).parent for name in files}:
        make_folder(subfolder)
    write_all_atomically({folder / name: content for name, content in files.items()})


def _draw_examples() -> dict[str, bytes]:
    """Draws scenes of the task as grey PNG files of 8 bits: the last one has no object. Returns them by name."""
    import cv2  # here, since OnnxDetector runs without it

    from centerdet.synthetic.scenes import ScenesConfig, SyntheticScenes

    files = {}
    for number, name in enumerate(EXAMPLES):
        config = ScenesConfig(ship_probability=float(number < len(EXAMPLES) - 1))
        image, _ = SyntheticScenes(EXAMPLE_SEED, config=config)[number]
        files[name] = cv2.imencode(".png", np.rint(image * 255).astype(np.uint8))[1].tobytes()
    return files
