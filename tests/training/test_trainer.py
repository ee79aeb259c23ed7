"""The loop: it learns, it stops and goes on exactly, and it loses nothing."""

import math
import os
import signal
from contextlib import contextmanager
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

import centerdet
from centerdet import Batch, CenterLoss, CenterNet, Codec, NetworkConfig, TrainingConfig, fit
from centerdet.detector.calibration import Calibration
from centerdet.model.equivariant import GroupConv
from centerdet.synthetic.batches import draw_batch
from centerdet.synthetic.scenes import ScenesConfig
from centerdet.training.logger import MetricLogger
from centerdet.training.optim import ema_update
from centerdet.training.run import TrainingRun
from tests.helpers import (
    CONFIG,
    TINY,
    VALIDATION,
    SmallBatches,
    assert_same_run,
    entries,
    state_of,
    train_tiny,
    without_times,
)


def interrupt_at(step):
    def interrupt(now):
        if now == step:
            os.kill(os.getpid(), signal.SIGINT)

    return SmallBatches(interrupt)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    directory = tmp_path_factory.mktemp("whole")
    return directory, train_tiny(directory)


def test_a_run_leaves_detectors_a_checkpoint_and_its_record(whole):
    directory, report = whole
    assert {path.name for path in directory.iterdir()} == {
        "best.safetensors",
        "last.safetensors",
        "checkpoint.pt",
        "metrics.jsonl",
        "tensorboard",
    }
    best = centerdet.load(directory / "best.safetensors")
    assert best.metadata["validation"]["ap"] == report.ap
    assert report.samples == len(VALIDATION)
    lines = entries(directory)
    assert [line["step"] for line in lines if "loss" in line] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in lines if "validation" in line] == [3, 6]
    assert set(lines[0]["loss"]) == {"total", "center", "size", "yaw", "offset"}
    assert lines[0]["learning_rate"] == pytest.approx(CONFIG.learning_rate, rel=1e-6)  # warm-up ends with step 2


def test_tensorboard_has_every_curve_and_the_heatmaps(whole):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    record = EventAccumulator(str(whole[0] / "tensorboard"))
    record.Reload()
    pictures = EventAccumulator(str(whole[0] / "tensorboard" / "pictures"))
    pictures.Reload()
    assert set(record.Tags()["scalars"]) == {
        *(f"loss/{name}" for name in ("total", "center", "size", "yaw", "offset")),
        *(f"validation/{name}" for name in ("AP@0.7", "AP@[0.50:0.95]", "IoU", "objectness accuracy")),
        "learning rate",
    }
    assert pictures.Tags()["images"] == ["heatmaps"]
    assert [event.step for event in record.Scalars("loss/total")] == [1, 2, 3, 4, 5, 6]


def test_pictures_show_images_of_any_size_as_the_detector_sees_them(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pictures = []
    for name, intensity_range, white in (("full", None, 65535), ("twelve bits", (0, 4095), 4095)):
        detector = centerdet.Detector(CenterNet(TINY), Codec(), intensity_range=intensity_range)
        image = np.full((700, 800), white, np.uint16)
        report = centerdet.evaluate(detector, [(image, None)])
        (tmp_path / name).mkdir()
        with MetricLogger(tmp_path / name) as logger:
            logger.log_validation(1, report, detector, [image])
        record = EventAccumulator(str(tmp_path / name / "tensorboard" / "pictures"))
        record.Reload()
        pictures.append(record.Images("heatmaps")[0])
    assert pictures[0].width < 400
    bright = [cv2.imdecode(np.frombuffer(picture.encoded_image_string, np.uint8), 1)[50, 50] for picture in pictures]
    np.testing.assert_array_equal(*bright)
    assert bright[0].min() > 150


@pytest.mark.parametrize("step", [0, 2, 3])
def test_a_stopped_run_goes_on_exactly(whole, tmp_path, step):
    with pytest.raises(KeyboardInterrupt, match=f"stopped after step {step + 1} of 6"):
        train_tiny(tmp_path, source=interrupt_at(step))
    assert state_of(tmp_path)["step"] == step + 1
    assert (tmp_path / "last.safetensors").exists()
    report = train_tiny(tmp_path, resume=True)
    assert_same_run(tmp_path, whole[0])
    assert without_times(report.to_dict()) == without_times(whole[1].to_dict())


def test_the_best_is_remembered_over_an_interruption(whole, tmp_path):
    """The first validation is the best of this run: nothing after it may replace it, nor forget it."""
    assert state_of(whole[0])["best"]["step"] == 3
    with pytest.raises(KeyboardInterrupt):
        train_tiny(tmp_path, source=interrupt_at(3))
    train_tiny(tmp_path, resume=True)
    assert state_of(tmp_path)["best"]["step"] == 3
    assert centerdet.load(tmp_path / "best.safetensors").metadata["step"] == 3


def test_a_signal_at_the_worst_moment_does_not_lose_the_checkpoint(tmp_path, monkeypatch):
    answers = iter([False, False, True])

    @contextmanager
    def interrupts():
        yield lambda: next(answers)

    monkeypatch.setattr("centerdet.training._interrupts", interrupts)
    with pytest.raises(KeyboardInterrupt, match="stopped after step 3"):
        train_tiny(tmp_path)
    assert state_of(tmp_path)["step"] == 3


def test_a_crashed_run_goes_on_from_its_last_checkpoint(whole, tmp_path):
    def crash(step):
        if step == 5:
            raise RuntimeError("power failure")

    with pytest.raises(RuntimeError, match="power failure"):
        train_tiny(tmp_path, source=SmallBatches(crash))
    assert state_of(tmp_path)["step"] == 4
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 6, "lo')
    train_tiny(tmp_path, resume=True)
    assert_same_run(tmp_path, whole[0])


def test_signal_handlers_are_put_back(tmp_path):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    train_tiny(tmp_path)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_run_is_never_overwritten_nor_resumed_with_other_settings(whole, tmp_path):
    with pytest.raises(ValueError, match="already holds a run"):
        train_tiny(whole[0])
    with pytest.raises(ValueError, match="nothing to resume"):
        train_tiny(tmp_path / "new", resume=True)
    with pytest.raises(ValueError, match="settings differ .* in extra;"):
        train_tiny(whole[0], resume=True, settings={"extra": 1})
    with pytest.raises(ValueError, match="settings differ .* in training.learning_rate, training.steps;"):
        train_tiny(whole[0], resume=True, config=replace(CONFIG, steps=7, learning_rate=1e-3))


def test_checkpoints_that_do_not_fit_are_refused(whole, tmp_path):
    state = torch.load(whole[0] / "checkpoint.pt", weights_only=True)
    for key in ("best", "network"):
        torch.save({name: value for name, value in state.items() if name != key}, tmp_path / "checkpoint.pt")
        with pytest.raises(ValueError, match=f"does not fit this network: '{key}'"):
            train_tiny(tmp_path, resume=True)
    wrong = {**state, "network": {"stem.0.weight": torch.zeros(3)}}
    torch.save(wrong, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="does not fit this network: .*Missing key"):
        train_tiny(tmp_path, resume=True)
    torch.save({**state, "settings": None}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="settings differ"):
        train_tiny(tmp_path, resume=True)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"\x80\x04.", b"text"])
def test_damaged_checkpoints_are_refused(content, tmp_path):
    (tmp_path / "checkpoint.pt").write_bytes(content)
    with pytest.raises(ValueError, match="cannot resume: .*checkpoint.pt"):
        train_tiny(tmp_path, resume=True)


def test_a_cut_checkpoint_is_refused(whole, tmp_path):
    content = (whole[0] / "checkpoint.pt").read_bytes()
    (tmp_path / "checkpoint.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match="cannot resume"):
        train_tiny(tmp_path, resume=True)


def test_checkpoints_never_execute_code(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "executed"),)

    torch.save({"format": "centerdet checkpoint 2", "settings": Hostile()}, tmp_path / "checkpoint.pt")
    with pytest.raises(ValueError, match="cannot resume"):
        train_tiny(tmp_path, resume=True)
    assert not (tmp_path / "executed").exists()


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    class Broken(BatchSource):
        def __getitem__(self, step):
            batch = super().__getitem__(step)
            return batch._replace(images=batch.images * np.nan) if step == 3 else batch

    with pytest.raises(FloatingPointError, match="the loss of step 3 is nan"):
        train_tiny(tmp_path, source=Broken())
    assert state_of(tmp_path)["step"] == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": torch.zeros(4, 64, 64)}, r"got shapes \(4, 64, 64\)"),
        ({"images": torch.zeros(4, 1, 64, 64, dtype=torch.uint8)}, "images must be floats .* got torch.uint8"),
        ({"images": torch.full((4, 1, 64, 64), 255.0)}, r"images must lie in \[0, 1\], got 255 to 255"),
        ({"images": torch.full((4, 1, 64, 64), math.nan)}, "images must lie in"),
        ({"boxes": torch.ones(4, 4)}, r"got shapes .*\(4, 4\)"),
        ({"boxes": torch.full((4, 5), math.nan)}, "boxes must be finite"),
        ({"boxes": torch.zeros(4, 5)}, "sizes above 0"),
        ({"present": torch.ones(4)}, "present bool, got .* torch.float32"),
        ({"present": torch.ones(3, dtype=torch.bool)}, "got shapes"),
    ],
)
def test_batches_of_another_kind_are_refused(change, message, tmp_path):
    good = Batch(torch.zeros(4, 1, 64, 64), torch.ones(4, 5), torch.ones(4, dtype=torch.bool))
    with pytest.raises(ValueError, match=message):
        train_tiny(tmp_path, source=[good._replace(**change)] * 6)


def test_a_list_of_batches_is_a_source(tmp_path):
    batches = SmallBatches().batches
    assert train_tiny(tmp_path, source=[batches[step] for step in range(6)]).samples == len(VALIDATION)


def test_learning_rate_warms_up_and_falls_to_zero(tmp_path):
    config = TrainingConfig(steps=100, warmup_steps=10, learning_rate=1.0)
    run = TrainingRun(CenterNet(TINY), Codec(), CenterLoss(), config, tmp_path, torch.device("cpu"), {})
    rates = []
    for run.step in range(101):
        rates.append(run.learning_rate())
    assert rates[:10] == pytest.approx([(step + 1) / 10 for step in range(10)])
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0)
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_muon_learns_the_group_convolutions_and_only_kernels_are_decayed(tmp_path):
    run = TrainingRun(CenterNet(TINY), Codec(), CenterLoss(), CONFIG, tmp_path, torch.device("cpu"), {})
    muon, adam = run.optimizers
    assert isinstance(muon, torch.optim.Muon)
    assert isinstance(adam, torch.optim.AdamW)
    convolutions = {id(layer.weight) for layer in run.network.modules() if isinstance(layer, GroupConv)}
    assert {id(weight) for weight in muon.param_groups[0]["params"]} == convolutions
    groups = [group for optimizer in run.optimizers for group in optimizer.param_groups]
    parameters = {id(parameter) for group in groups for parameter in group["params"]}
    assert parameters == {id(parameter) for parameter in run.network.parameters()}
    for group in groups:
        kernels = group["weight_decay"] == CONFIG.weight_decay
        assert kernels or group["weight_decay"] == 0
        assert all((parameter.ndim > 1) == kernels for parameter in group["params"])


@pytest.mark.parametrize("decay", [0.5, 0.9, 0.99, 0.9995])
def test_averaging_leaves_constants_alone(decay, tmp_path):
    config = replace(CONFIG, ema_decay=decay)
    run = TrainingRun(CenterNet(TINY), Codec(), CenterLoss(), config, tmp_path, torch.device("cpu"), {})
    for _ in range(300):
        run.ema.update_parameters(run.network)
    for name, layer in run.network.named_modules():
        if isinstance(layer, GroupConv):
            assert torch.equal(run.ema.module.get_submodule(name).places, layer.places)


def test_a_checkpoint_keeps_threshold_and_calibration(tmp_path):
    runs = [
        TrainingRun(CenterNet(TINY), Codec(), CenterLoss(), CONFIG, tmp_path, torch.device("cpu"), {}) for _ in range(2)
    ]
    runs[0].start(resume=False)
    runs[0].threshold, runs[0].calibration = 0.123, Calibration(a=0.5, b=2.0, c=0.3)
    runs[0].checkpoint()
    runs[1].start(resume=True)
    for known in (runs[1], centerdet.load(tmp_path / "last.safetensors")):
        assert (known.threshold, known.calibration) == (0.123, Calibration(a=0.5, b=2.0, c=0.3))


def test_bfloat16_trains_in_bfloat16_with_the_loss_in_float32(tmp_path):
    config = TrainingConfig(steps=2, warmup_steps=0, precision="bfloat16")
    run = TrainingRun(CenterNet(TINY), Codec(), CenterLoss(), config, tmp_path, torch.device("cpu"), {})
    dtypes = []
    run.network.register_forward_hook(lambda module, inputs, output: dtypes.append(output.center.dtype))
    terms = run.train_step(SmallBatches()[0])
    assert dtypes == [torch.bfloat16]
    assert terms.total.dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in run.network.parameters())
    assert train_tiny(tmp_path, config=config).samples == len(VALIDATION)


def test_gradients_are_clipped(tmp_path):
    config = TrainingConfig(steps=2, clip_norm=0.125)
    run = TrainingRun(CenterNet(TINY), Codec(), CenterLoss(), config, tmp_path, torch.device("cpu"), {})
    run.train_step(SmallBatches()[0])
    norm = torch.linalg.vector_norm(torch.cat([p.grad.flatten() for p in run.network.parameters()]))
    assert norm.item() == pytest.approx(0.125, rel=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [
        {"steps": 0},
        {"warmup_steps": -1},
        {"learning_rate": 0.0},
        {"ema_decay": 1.0},
        {"clip_norm": 0.0},
        {"seed": 2**63},
    ],
)
def test_impossible_settings_are_refused(arguments):
    with pytest.raises(ValueError, match="must be|must lie|at least"):
        TrainingConfig(**arguments)


def test_four_scenes_can_be_overfitted(tmp_path):
    torch.manual_seed(0)
    rng = np.random.Generator(np.random.SFC64(3))
    batch = draw_batch(rng, 4, scenes=ScenesConfig(ship_probability=1.0), crop_size=112)

    class Same:
        def __getitem__(self, step) -> Batch:
            return batch

    network = CenterNet(NetworkConfig(channels=(32, 32, 32), num_blocks=(1, 1, 1)))
    truths = [centerdet.RotatedBox(*box.tolist()) for box in batch.boxes]
    scenes = [(image.numpy(), truth) for image, truth in zip(batch.images[:, 0], truths, strict=True)]
    config = TrainingConfig(steps=250, warmup_steps=20, learning_rate=4e-3, ema_decay=0.9, validate_every=250)
    fit(network, Codec(), CenterLoss(), Same(), scenes, config=config, directory=tmp_path)
    detector = centerdet.load(tmp_path / "best.safetensors")
    ious = [centerdet.score_iou(detector(image).box.to_array(), truth.to_array()) for image, truth in scenes]
    assert min(ious) > 0.9


def test_the_average_forgets_the_start_of_a_short_run():
    weight = torch.nn.Linear(1, 1, bias=False)
    ema = torch.optim.swa_utils.AveragedModel(weight, multi_avg_fn=ema_update(0.999))
    for step in range(100):
        torch.nn.init.constant_(weight.weight, step)
        ema.update_parameters(weight)
    assert ema.module.weight.item() == pytest.approx(90, abs=3)
