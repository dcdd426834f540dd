"""The server that one writes first: a forward a request. `python naive_server.py onnx BUNDLE PORT`.

For benchmarks/serving.py only; it has no limits and sends no warnings.
"""

import io
import sys

import numpy as np
import torch
import uvicorn
from fastapi import FastAPI, UploadFile
from PIL import Image

from dermasense.inference.engine import _exported
from dermasense.models.bundle import load_bundle


def application(engine: str, bundle: str) -> FastAPI:
    """Decodes and predicts in the threads that FastAPI gives to a plain function."""
    found = load_bundle(bundle)
    network, size = found.classifier.eval(), found.spec.image_size
    if engine == "onnx":
        import onnxruntime

        graph = _exported(network, np.zeros((1, 3, size, size), np.uint8))
        session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    app = FastAPI()

    @app.get("/readyz")
    def ready() -> dict:
        return {}

    @app.post("/v1/predict")
    def predict(files: list[UploadFile]) -> list[dict]:
        answers = []
        for file in files:
            image = Image.open(io.BytesIO(file.file.read())).convert("RGB")
            pixels = np.asarray(image.resize((size, size), Image.Resampling.BICUBIC))
            batch = np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
            if engine == "onnx":
                logits = torch.from_numpy(session.run(None, {"input": batch})[0])
            else:
                with torch.inference_mode():
                    logits = network(torch.from_numpy(batch))
            shares = logits.softmax(1)[0].tolist()
            answers.append(dict(zip(found.class_names, shares, strict=True)))
        return answers

    return app


if __name__ == "__main__":
    app = application(sys.argv[1], sys.argv[2])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[3]), access_log=False)
