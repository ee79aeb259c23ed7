"""Trains the second stage on what the first stages find in fresh images.

A step's batch holds fresh starts of a block of images, and the stage's own results of the steps before, up to three
passes old. All of it follows from the state at the start of a block, which is when checkpoints are written: a resumed
run is identical to an uninterrupted one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from centerdet.model.box_update import apply_delta
from centerdet.model.second_stage import SecondStage
from centerdet.model.second_stage_loss import SecondStageLoss, second_stage_loss
from centerdet.training.checkpoint import CHECKPOINT_NAME, load_checkpoint, save_checkpoint
from centerdet.training.optim import autocast, ema_update, learning_rate, make_optimizers
from centerdet.training.restore import restore_optimizer
from centerdet.training.schedule import Schedule
from centerdet.training.second_stage_config import SecondStageRecipe
from centerdet.training.second_stage_starts import Block, StartBlocks

Results = list[tuple[Tensor, Tensor]]  # image index (n,) and box (n, 5) of a batch's rows, by passes behind them


class SecondStageTrainer:
    """State of a run: the stage, its average, the optimisers and the next block.

    Args:
        stage: To train; on the CPU or wherever it is.
        encode_images: From images ``(B, 1, H, W)`` to what the stage sees of them ``(B, C, H, W)``.
        blocks: Images and starts.
        recipe: Weights of the loss, and settings of the loop.
        directory: The run's folder, which must exist.
        settings: Plain values that a resumed run must share.
        max_minutes: As in ``TrainingConfig``.

    Attributes:
        schedule: How far the training is; its steps are those of all blocks.
    """

    def __init__(
        self,
        stage: SecondStage,
        encode_images: Callable[[Tensor], Tensor],
        blocks: StartBlocks,
        *,
        recipe: SecondStageRecipe,
        directory: Path,
        settings: dict[str, Any],
        max_minutes: float | None = None,
    ) -> None:
        self.stage, self.encode_images = stage.train(), encode_images
        self.blocks, self.loss, self.config = blocks, recipe.loss, recipe.training
        self.schedule = Schedule(
            steps=recipe.training.blocks * recipe.steps_per_block,
            validate_every=recipe.training.validate_every * recipe.steps_per_block,
            max_minutes=max_minutes,
        )
        self.directory, self.settings = directory, settings
        self.ema = AveragedModel(stage, multi_avg_fn=ema_update(self.config.ema_decay), use_buffers=True)
        self.optimizers = make_optimizers(stage, self.config)
        self.block = self.step = 0

    @property
    def place(self) -> float:
        """The place of the next step in the schedule."""
        return self.schedule.place(self.step)

    @property
    def is_over(self) -> bool:
        """Whether the schedule has ended."""
        return self.place >= self.schedule.steps

    def train_block(self, interrupted: Callable[[], bool] = lambda: False) -> SecondStageLoss:
        """Trains on the next block, until its fresh starts or the time are used up.

        Args:
            interrupted: Whether to stop after a step. The state is then that of no checkpoint.

        Returns:
            The mean of each term of the loss.

        Raises:
            ValueError: If the images of the block are too few.
            FloatingPointError: If the loss is not finite.
            KeyboardInterrupt: If interrupted; the last checkpoint stays.
        """
        last = time.monotonic()
        block = self.blocks[self.block]
        device = next(self.stage.parameters()).device
        encoded = self.encode_images(block.scenes.images.to(device))  # (N, C, H, W)
        shares, total = self.config.batch_shares, sum(self.config.batch_shares)
        results: Results = []
        terms: list[Tensor] = []
        used = 0
        while True:
            aged = [(index[:n], boxes[:n]) for (index, boxes), n in zip(results, shares[1:], strict=False)]
            fresh = total - sum(len(index) for index, _ in aged)
            if used + fresh > len(block.boxes) or (terms and self.is_over):
                break
            rows = [(block.image_index[used : used + fresh], block.boxes[used : used + fresh].to(device)), *aged]
            used += fresh
            step_terms, results = self._train_step(block, encoded, rows)
            terms.append(torch.stack(step_terms).detach())
            now = time.monotonic()
            self.schedule.seconds, last = self.schedule.seconds + now - last, now
            if interrupted():
                raise KeyboardInterrupt(
                    f"stopped in block {self.block + 1} of {self.config.blocks} of the second stage, the blocks before "
                    "it are saved; continue with resume (--resume)"
                )
        if not terms:
            raise ValueError(f"a block must hold at least {total} starts, got {len(block.boxes)}; give more images")
        self.block += 1
        return SecondStageLoss(*torch.stack(terms).mean(0))

    def _train_step(self, block: Block, encoded: Tensor, rows: Results) -> tuple[SecondStageLoss, Results]:
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(self.place, self.config, self.schedule.steps)
        lengths = [len(index) for index, _ in rows]
        index, boxes = (torch.cat(part) for part in zip(*rows, strict=True))
        with autocast(boxes.device, self.config.precision):
            update = self.stage.predict_updates(encoded, boxes, index.to(boxes.device))
        targets, has_object = (part[index].to(boxes.device) for part in (block.scenes.boxes, block.scenes.has_object))
        terms = second_stage_loss(update, boxes, targets, has_object, self.stage.config, self.loss)
        if not torch.isfinite(terms.total):
            raise FloatingPointError(
                f"the loss of step {self.step} is {terms.total.item()}; start a new run, in another folder, with a "
                "lower learning_rate or clip_norm"
            )
        self.stage.zero_grad(set_to_none=True)
        terms.total.backward()
        nn.utils.clip_grad_norm_(self.stage.parameters(), self.config.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        self.ema.update_parameters(self.stage)
        self.step += 1
        moved = apply_delta(boxes, update.delta.detach().float())
        return terms, list(zip(index.split(lengths), moved.split(lengths), strict=True))

    def checkpoint(self) -> None:
        """Writes all that ``resume`` needs."""
        state = {
            "block": self.block,
            "step": self.step,
            "stage": self.stage.state_dict(),
            "average": self.ema.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "schedule": self.schedule.state(),
            "settings": self.settings,
        }
        save_checkpoint(self.directory / CHECKPOINT_NAME, state)

    def resume(self) -> None:
        """Continues from the folder's checkpoint.

        Raises:
            ValueError: If there is none, or it is damaged, or from a run with other settings.
        """
        path = self.directory / CHECKPOINT_NAME
        state = load_checkpoint(path, settings=self.settings)
        try:
            self._restore(state)
        except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"cannot resume: {path} does not fit this second stage: {reason}; start a new run in another folder "
                "(--out)"
            ) from None

    def _restore(self, state: dict[str, Any]) -> None:
        self.stage.load_state_dict(state["stage"])
        self.ema.load_state_dict(state["average"])
        for optimizer, its_state in zip(self.optimizers, state["optimizers"], strict=True):
            restore_optimizer(optimizer, its_state)
        self.block, self.step = state["block"], state["step"]
        self.schedule.restore(state["schedule"])
