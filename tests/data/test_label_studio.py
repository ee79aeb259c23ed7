"""Labels of Label Studio."""

import json

import pytest
from hypothesis import given, settings

from centerdet.data.label_studio import format_task, write_file
from tests.data.drawn import TURNS, assert_drawn, assert_round_trip, read
from tests.helpers import label_boxes


def result(turn=30, **changes):
    """A result as Label Studio exports it; the position is that of the turned top left corner, in percent."""
    x, y = TURNS[turn][0]
    value = {"x": x / 2, "y": y, "width": 10, "height": 40, "rotation": turn, "rectanglelabels": ["ship"]}
    sizes = {"original_width": 200, "original_height": 100, "image_rotation": 0}
    return {"id": "Dx_aB91", "type": "rectanglelabels", "value": value, **sizes, **changes}


def task(*results, image="/data/upload/3/1a2b3c4d-a.png", **changes):
    return {"id": 7, "data": {"image": image}, "annotations": [{"id": 5, "result": list(results)}], **changes}


def read_tasks(folder, *tasks, names=("a.png",), has_heading=True):
    path = folder / "labels.json"
    path.write_text(json.dumps(tasks))
    return read("label-studio", path, names, has_heading=has_heading)


@pytest.mark.parametrize("turn", TURNS)
def test_a_box_turned_about_its_top_left_corner(turn, tmp_path):
    found, errors = read_tasks(tmp_path, task(result(turn), {"type": "choices", "value": {"choices": ["sharp"]}}))
    assert errors == []
    assert_drawn(found["a.png"][0], turn)


@settings(max_examples=20)
@given(box=label_boxes)
def test_a_written_box_is_read_back(box, tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "labels.json"
    write_file(path, {"a.png": box, "b.png": None}, {"a.png": (320, 200), "b.png": (320, 200)})
    assert_round_trip("label-studio", path, box)


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/1/0a1b2c3d-a.png",
        "/data/local-files/?d=photos%2Fa.png",
        "https://example.org/x/a.png?key=1",
        "C:\\photos\\a.png",
        "a.png",
    ],
)
def test_images_are_found_by_the_end_of_their_address(address, tmp_path):
    assert len(read_tasks(tmp_path, task(result(), image=address))[0]["a.png"]) == 1


def test_an_annotation_without_a_box_means_no_object(tmp_path):
    assert read_tasks(tmp_path, task()) == ({"a.png": []}, [])


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (task(annotations=[]), "task 7: wanted one annotation, got 0; label the image once"),
        (task(annotations=[{"result": []}, {"result": []}]), "wanted one annotation, got 2"),
        (task(annotations=[{"result": [], "was_cancelled": True}]), "wanted one annotation, got 0"),
        (task(result(type="polygonlabels")), "task 7, result 1: wanted a box"),
        (task(result(value={"x": 1})), "result 1: width is missing"),
        (task(result(value=3)), "wanted an object 'value', got 3"),
        (task(result(original_width=True)), "original_width must be a number, got True"),
        (task(result(original_width=400)), "the labels are for 400 x 100 px, and a.png has 200 x 100"),
        (task(result(image_rotation=90)), "the image was turned in Label Studio"),
        (task(image="other.png"), "there is no image 'other.png'"),
        (task(data={"text": 3}), "wanted the address of an image"),
        ("task", "wanted an object 'data', got None"),
    ],
)
def test_wrong_tasks_are_errors(wrong, complaint, tmp_path):
    found, errors = read_tasks(tmp_path, wrong)
    assert found == {}
    assert complaint in errors[0]
    assert errors[0].startswith(str(tmp_path / "labels.json"))


def test_images_without_a_task_and_with_two_are_errors(tmp_path):
    found, errors = read_tasks(tmp_path, task(result()), task(result()), names=["a.png", "b.png"])
    assert len(found["a.png"]) == 1
    assert "a.png has another entry" in errors[0]
    assert "b.png: it has no entry in" in errors[1]


@pytest.mark.parametrize("content", ["", "{}", "[", "[" * 100_000, '{"a": 1}'])
def test_other_files_are_refused(content, tmp_path):
    (tmp_path / "labels.json").write_text(content)
    with pytest.raises(ValueError, match=r"labels\.json"):
        read("label-studio", tmp_path / "labels.json", ["a.png"])


def test_a_prediction_has_a_score_and_is_no_label(tmp_path):
    prediction = format_task("a.png", None, size=(200, 100), score=0.0)
    assert prediction["predictions"] == [{"model_version": "centerdet", "score": 0.0, "result": []}]
    assert "wanted a list 'annotations'" in read_tasks(tmp_path, prediction)[1][0]
