"""Settings that follow from a data set's size and noise level, for training without a config file."""

from __future__ import annotations

from dataclasses import replace

from centerdet.training.config import ImagesConfig, TrainingConfig
from centerdet.training.second_stage_config import SecondStageRecipe

# docs/own-images.md has the resulting table. The steps grow with the cube root of the number of images: more images
# need more steps, and each image is seen less often.
REFERENCE_IMAGES, REFERENCE_STEPS = 1000, 6000
MIN_STEPS, MAX_STEPS = 2000, 20_000
STEPS_MULTIPLE = 100
FINE_TUNING_SHARE = 3 / 4  # of the steps, if training starts from weights
VALIDATIONS = 10  # of a run
WARMUP_SHARE = 0.05  # of the steps
FEW_IMAGES = 1000  # with fewer, the network is smaller: three times as many steps in the same time
SMALL_CHANNELS = (16, 32, 64)
STEPS_PER_BLOCK = 150  # of the first stage, for each block of the second: it then takes a third to a half of the time
SECOND_STAGE_VALIDATIONS = 4
# If a noise level is known, pixels above it stand out, and a small network suffices: more steps in the same time.
NOISE_STEPS_FACTOR = 8 / 3
NOISE_RATE = 5e-3  # learning rate
BATCH_SIZE, SMALL_BATCH_SIZE, SMALL_BATCH_IMAGES = 16, 8, 50  # with fewer than that many images, small batches


def default_config(
    images: int, *, fine_tuning: bool, has_noise_level: bool = False, steps: int | None = None
) -> ImagesConfig:
    """Returns the settings for a data set of that size.

    Args:
        images: Number of training images.
        fine_tuning: Whether training starts from weights.
        has_noise_level: Whether the noise level of the images is known. It makes no difference with ``fine_tuning``.
        steps: Number of steps, on which warm-up and validations depend; ``None``: chosen as well.
    """
    config, is_small = ImagesConfig(), has_noise_level or images < FEW_IMAGES
    factor, rate = 1.0, config.training.learning_rate
    if fine_tuning:
        factor = FINE_TUNING_SHARE
    elif has_noise_level:
        factor, rate = NOISE_STEPS_FACTOR, NOISE_RATE
    steps = steps or _choose_steps(images, factor)
    training = TrainingConfig(
        steps=steps,
        learning_rate=rate,
        warmup_steps=round(WARMUP_SHARE * steps),
        validate_every=max(1, steps // VALIDATIONS),
    )
    return replace(
        config,
        training=training,
        batch_size=SMALL_BATCH_SIZE if images < SMALL_BATCH_IMAGES else BATCH_SIZE,
        network=replace(config.network, channels=SMALL_CHANNELS) if is_small else config.network,
        second_stage=second_stage_recipe(max(1, steps // STEPS_PER_BLOCK)),
    )


def second_stage_recipe(blocks: int) -> SecondStageRecipe:
    """Returns the recipe of a second stage that is trained on that many blocks of images."""
    recipe = SecondStageRecipe()
    training = replace(
        recipe.training,
        blocks=blocks,
        warmup_steps=round(WARMUP_SHARE * blocks * recipe.steps_per_block),
        validate_every=max(1, blocks // SECOND_STAGE_VALIDATIONS),
    )
    return replace(recipe, training=training)


def _choose_steps(images: int, factor: float) -> int:
    steps = min(MAX_STEPS, max(MIN_STEPS, REFERENCE_STEPS * (images / REFERENCE_IMAGES) ** (1 / 3)))
    return STEPS_MULTIPLE * round(min(MAX_STEPS, factor * steps) / STEPS_MULTIPLE)
