"""The same model for other runtimes: ONNX and TFLite, float and int8."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Iterable

import numpy as np
import tensorflow as tf

from daaf_tf import schema
from daaf_tf.data.preprocess import normalize_image, resize_image
from daaf_tf.errors import UserError
from daaf_tf.imports import import_optional
from daaf_tf.serving.embedder import PIXELS_INPUT, PIXELS_SIGNATURE

SAVED_MODEL = "saved_model"
ONNX = "onnx"
TFLITE = "tflite"
FORMATS = (SAVED_MODEL, ONNX, TFLITE)

ONNX_FILE = "model.onnx"
TFLITE_FILE = "model.tflite"
INT8_FILE = "model_int8.tflite"

# The newest that tf2onnx 1.16 is tested with.
_OPSET = 17
INSTALL = (
    "pip install --no-deps tf2onnx==1.16.1 onnx==1.16.2 onnxruntime==1.19.2 (with their own wishes "
    "for protobuf they do not fit beside TensorFlow 2.15, see docs/export.md)"
)


def write_onnx(servable: tf.Module, path: pathlib.Path) -> None:
    """Write the signature `serving_default` as ONNX: uint8 [B, H, W, 3] of any size.

    Args:
      servable: what `make_servable` returned.
      path: the file.

    Raises:
      UserError: tf2onnx is not installed.
    """
    converter = import_optional("tf2onnx", INSTALL)
    function = servable.functions[PIXELS_SIGNATURE]
    converter.convert.from_function(
        function, input_signature=function.input_signature, opset=_OPSET, output_path=str(path)
    )


def write_tflite(
    embed: Callable,
    size: tuple[int, int],
    variables: list[tf.Variable],
    folder: pathlib.Path,
    *,
    calibration: Iterable[np.ndarray],
) -> None:
    """Write an embedding function as TFLite, in float32 and in int8.

    TFLite's kernels want images of one size, so that resizing is left to who calls: the input is
    RGB [B, height, width, 3] in 0..255, float32, and uint8 in int8.

    Args:
      embed: from normalised images to `{"embedding": [B, D]}`.
      size: height and width of the images.
      variables: what `embed` reads.
      folder: where TFLITE_FILE and INT8_FILE are written.
      calibration: images [height, width, 3] float32 in 0..255, by which int8 chooses its ranges.
    """
    images = [image[None] for image in calibration]
    spec = tf.TensorSpec([None, *size, 3], tf.float32, name=PIXELS_INPUT)
    module = tf.Module()
    module.variables_of_model = variables
    function = tf.function(
        lambda images: embed(normalize_image(images)), input_signature=[spec]
    ).get_concrete_function()

    def convert(**settings):
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], module)
        for name, value in settings.items():
            setattr(converter, name, value)
        return converter.convert()

    (folder / TFLITE_FILE).write_bytes(convert())
    quantized = convert(
        optimizations=[tf.lite.Optimize.DEFAULT],
        representative_dataset=lambda: ({PIXELS_INPUT: image} for image in images),
        inference_input_type=tf.uint8,
    )
    (folder / INT8_FILE).write_bytes(quantized)


def load_runtime(path: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    """Load a written file; return a function from uint8 pixels [H, W, 3] to an embedding [D].

    Raises:
      UserError: no file of a known kind, or onnxruntime is not installed.
    """
    if path.suffix == ".onnx":
        return _load_onnx(path)
    if path.suffix == ".tflite":
        return _load_tflite(path)
    raise UserError(f"{path}: expected a file that ends in .onnx or .tflite")


def _load_onnx(path: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    runtime = import_optional("onnxruntime", INSTALL)
    session = runtime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda pixels: session.run([schema.EMBEDDING], {PIXELS_INPUT: pixels[None]})[0][0]


def _load_tflite(path: pathlib.Path) -> Callable[[np.ndarray], np.ndarray]:
    interpreter = tf.lite.Interpreter(str(path))
    taken, given = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    height, width = taken["shape"][1:3]
    interpreter.allocate_tensors()

    def embed(pixels):
        image = resize_image(tf.constant(pixels), int(height), int(width)).numpy()[None]
        if taken["dtype"] != np.float32:
            image = np.clip(np.round(image), 0, 255).astype(taken["dtype"])
        interpreter.set_tensor(taken["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])[0].copy()

    return embed
