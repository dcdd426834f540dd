"""What a bundle can be exported to; apart from the exporter, which takes seconds to import."""

FORMATS = {"onnx": ("fp32", "fp16", "int8"), "exported_program": ("fp32",)}
