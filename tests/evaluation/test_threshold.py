from dataclasses import replace

import numpy as np

from centerdet import Detection, RotatedBox
from centerdet.evaluation.metrics import predict_all
from centerdet.evaluation.report import summarise
from centerdet.evaluation.threshold import choose_threshold

BOX = RotatedBox(50, 60, 0.4, 20, 30)
IMAGE = np.zeros((64, 64))


def test_the_chosen_threshold_has_the_highest_ap():
    rng = np.random.default_rng(1)
    targets = [BOX if rng.random() < 0.8 else None for _ in range(300)]
    answers = iter(
        Detection(replace(BOX, x=BOX.x + rng.uniform(0, 6)), rng.beta(5, 2) if target else rng.beta(2, 5))
        for target in targets
    )
    results = predict_all(lambda _: next(answers), [(IMAGE, target) for target in targets])
    threshold = choose_threshold(results)
    best = summarise(results.above(threshold)).ap
    assert 0 < threshold < 1
    assert best >= max(summarise(results.above(other)).ap for other in np.linspace(0.02, 0.98, 97))
    assert best > summarise(results.above(0)).ap
