"""The shapes of the server's answers, as its OpenAPI schema shows them."""

from pydantic import BaseModel, Field

from dermasense.inference.prediction import DISCLAIMER

EXAMPLE = {
    "predictions": [
        {
            "image": "photo.jpg",
            "class": "nv",
            "confidence": 0.91,
            "probabilities": {"mel": 0.06, "nv": 0.91, "bcc": 0.03},
            "prediction_set": ["nv"],
            "decision": "answer",
            "refer": False,
            "warnings": [],
            "distance": 0.4,
            "error": None,
        }
    ],
    "model": "ham_finetune@1f2e3d4c",
    "request_id": "6f1c0a",
    "disclaimer": DISCLAIMER,
}


class Answer(BaseModel):
    """The answer to one picture, or why there is none."""

    image: str = Field(description="The file's name, without folders.")
    class_: str | None = Field(
        None,
        alias="class",
        description="The most probable class, or the bundle's choice by cost.",
    )
    confidence: float | None = Field(None, description="Its calibrated probability.")
    probabilities: dict[str, float] | None = Field(None, description="Calibrated, by class.")
    prediction_set: list[str] | None = Field(
        None, description="Classes that cannot be ruled out; null where not calibrated for it."
    )
    decision: str | None = Field(None, description="answer, refer, or no rule.")
    refer: bool | None = Field(None, description="True: a person should look.")
    warnings: list[str] = Field([], description="Why the answer may be worth little.")
    distance: float | None = Field(None, description="Above 1: unlike the training pictures.")
    error: str | None = Field(None, description="Why this picture was not answered.")


class Answers(BaseModel):
    """Answers in the order of the pictures."""

    predictions: list[Answer]
    model: str
    request_id: str
    disclaimer: str = DISCLAIMER
    model_config = {"json_schema_extra": {"example": EXAMPLE}}


class AboutLimits(BaseModel):
    """What a client has to keep to."""

    request_mb: float = Field(description="Of the body, in 10^6 bytes.")
    files: int = Field(description="Pictures in a request.")
    pixels: int = Field(description="Of a picture.")


class About(BaseModel):
    """The model behind the server."""

    name: str
    sha256: str
    classes: list[str]
    input_px: int
    training_data: str | None
    licence: str | None
    protocol: str | None
    note: str | None
    calibrated: bool
    detects_unlike_pictures: bool
    views: str = Field(description="Of each picture, whose answers are averaged; none: one.")
    limits: AboutLimits
    disclaimer: str = DISCLAIMER


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str
    message: str
    request_id: str


class ErrorAnswer(BaseModel):
    """Every answer that is no prediction has this shape."""

    error: ErrorBody
