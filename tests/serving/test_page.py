"""The page in a real browser: a picture is sent, its answer and its heat map are read."""

import threading
import time

import pytest
import uvicorn
from PIL import Image

from dermasense import load
from dermasense.data.lesion_painter import paint
from dermasense.data.lesion_population import draw_population
from dermasense.serving import app as serving
from tests.inference.explaining.coloured import backbone, bundle
from tests.serving.chromium import NAMES, Page, find_chromium

CHROMIUM = find_chromium()
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason=f"no browser on this machine ({', '.join(NAMES)})"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("timm.create_model", backbone)
        return load(bundle(tmp_path_factory.mktemp("served")), engine="torch")


@pytest.fixture(scope="module")
def url(model):
    server = uvicorn.Server(
        uvicorn.Config(serving.create_app(model), port=0, log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 60
    while not server.started and time.monotonic() < until:
        time.sleep(0.05)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join(30)


@pytest.fixture(scope="module")
def lesion(tmp_path_factory):
    person = draw_population(seed=5, n_lesions=7)[0]
    path = tmp_path_factory.mktemp("photo") / "my lesion.png"
    Image.fromarray(paint(person.lesion, person.views[0], 320)[0]).save(path)
    return path


@pytest.fixture
def page():
    opened = Page(CHROMIUM)
    yield opened
    opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("width", [1280, 390])
def test_a_picture_is_sent_and_answer_and_heat_map_are_read(page, url, model, lesion, width):
    page.size(width)
    page.open(url)
    page.choose_file("#file", lesion)
    page.wait("!document.getElementById('result').hidden")
    found = model.predict(lesion)
    said = page.run("document.getElementById('answer').textContent")
    assert said == f"Most probable: {found.answer} ({100 * found.confidence:.1f} %)"
    assert page.run("document.activeElement.id") == "answer"  # a screen reader goes there
    assert page.run("document.querySelectorAll('#rows tr').length") == 3
    assert page.run("document.getElementById('looked').hidden")

    page.run("document.getElementById('look').focus()")
    page.press("Enter", 13, "\r")  # by the keyboard alone
    page.wait("document.getElementById('heat').naturalWidth > 0")
    expected = model.explain(lesion, side=640)
    assert page.run("document.getElementById('heat').naturalWidth") == 320
    assert page.run("document.getElementById('looknote').textContent") == expected.sentence
    alt = page.run("document.getElementById('heat').alt")
    assert alt == f"Heat map over the picture. {expected.sentence}"
    assert page.run("document.documentElement.scrollWidth") <= width  # nothing sticks out
    assert "not a medical device" in page.run("document.body.innerText")
    assert page.complaints() == []

    assert page.run("document.activeElement.id") == "looked"

    other = lesion.with_name("other.png")
    other.write_bytes(lesion.read_bytes())
    page.choose_file("#file", other)  # another picture has no map yet
    page.wait("document.getElementById('looked').hidden")
    page.wait("!document.getElementById('result').hidden")
    assert not page.run("document.getElementById('heat').hasAttribute('src')")
    assert not page.run("document.getElementById('look').hidden")


@pytest.mark.slow
def test_a_file_that_is_no_picture_is_said(page, url, tmp_path):
    text = tmp_path / "notes.png"
    text.write_text("no picture")
    page.open(url)
    page.choose_file("#file", text)
    page.wait("document.getElementById('status').classList.contains('bad')")
    assert "not a picture" in page.run("document.getElementById('status').textContent")
    assert page.run("document.getElementById('result').hidden")
