"""THE loop: it plays any GAN on any images for a budget of images shown to D, and can be stopped at
any step.

Randomness is stateless: the batch of a step depends on (seed, epoch), its noise and augmentation on
(seed, step). So a checkpoint needs no random state, and stopping and going on gives the same bits
on a CPU as never stopping.
"""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import cos, isfinite, pi
from pathlib import Path

import torch
from torch import Tensor

from . import ranks
from .config import mix
from .errors import TrainingDiverged, TrainingError
from .gans import GAN
from .training_images import Budget, TrainingImages

AVERAGE_MOST = 500_000  # images, the longest half-life of G_average


class Training:
    """A GAN in training: networks, optimisers, step and history. `run` plays it to the end of its
    budget."""

    def __init__(self, gan: GAN, data: TrainingImages, budget: Budget, device: torch.device):
        if data.count < budget.batch_size:
            raise TrainingError(
                f"{data.count} training images are fewer than one batch of {budget.batch_size}: "
                f"set batch_size to at most {data.count}, or bring more images."
            )
        self.gan = gan.to(device, memory_format=torch.channels_last)
        self.data, self.budget, self.device = data, budget, device
        self.step, self.history, self.stopping = 0, [], False
        self.d_optimizer = _adam(gan.D, gan.learning_rate_d, gan.betas)
        self.g_optimizer = _adam(gan.G, gan.learning_rate_g, gan.betas)
        self.precision = precision(device)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision is torch.float16)

    @property
    def images_per_step(self) -> int:
        return self.budget.batch_size * self.gan.n_critic

    @property
    def steps(self) -> int:
        """Steps of the whole budget, rounded up; one step is `n_critic` steps of D and one of G."""
        return -(-self.budget.images // self.images_per_step)

    @property
    def images_seen(self) -> int:
        return self.step * self.images_per_step

    @property
    def log_every(self) -> int:
        """Steps between two readings of the losses: reading waits for the device, so not every
        step."""
        return max(1, min(50, self.steps // 50))

    @property
    def at_log_point(self) -> bool:
        return self.step == self.steps or self.step % self.log_every == 0

    def state(self) -> dict:
        """Everything that the next step depends on, as tensors and plain values."""
        return {
            "gan": self.gan.state_dict(),
            "d_optimizer": self.d_optimizer.state_dict(),
            "g_optimizer": self.g_optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "step": self.step,
            "history": self.history,
        }

    def load(self, state: dict) -> None:
        """Goes back to the moment `state` was taken."""
        self.gan.load_state_dict(state["gan"])
        self.d_optimizer.load_state_dict(state["d_optimizer"])
        self.g_optimizer.load_state_dict(state["g_optimizer"])
        if state["scaler"]:  # empty where the checkpoint was made without float16
            self.scaler.load_state_dict(state["scaler"])
        self.step, self.history = state["step"], list(state["history"])

    def run(self, observer: Callable[["Training"], None] = lambda training: None) -> None:
        """Plays on to the end of the budget. `observer(self)` is called at every log point and when
        it stops.

        TrainingDiverged at the first log point whose losses are not finite; KeyboardInterrupt is
        held back until the step is whole, then the observer is called, with `stopping` set, and
        the interrupt goes on.
        """
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices), _held_interrupt() as interrupted:
            self.gan.train()
            while self.step < self.steps and not self.stopping:
                terms = self._play()
                self.step += 1
                self.stopping = self._asked_to_stop(interrupted) or self.step == self.steps
                if self.stopping or self.at_log_point:
                    self._log(terms)
                    self._show(observer)

    def _asked_to_stop(self, interrupted: threading.Event) -> bool:
        """Whether Ctrl-C was pressed; several ranks ask one another, at log points alone, and what
        was pressed on one counts on all."""
        if ranks.count() > 1:
            if not self.at_log_point:
                return False
            if ranks.any_of(interrupted.is_set(), self.device):
                interrupted.set()
        return interrupted.is_set()

    def _show(self, observer: Callable[["Training"], None]) -> None:
        """Lets the observer look, on rank 0 alone: the others wait in their next step."""
        if ranks.rank() == 0:
            with ranks.alone():
                observer(self)

    def _play(self) -> dict[str, Tensor]:
        """One step: `n_critic` batches for D, then G, then the average. The terms are still on the
        device."""
        gan, terms = self.gan, {}
        torch.manual_seed(mix(self.budget.seed, self.step, 1))
        self._set_progress(self.step / self.steps)
        for k in range(gan.n_critic):
            rows = self.data.rows(self.step * gan.n_critic + k, self.budget)
            batch = self.data.batch(ranks.mine(rows))
            terms |= self._minimise("d", gan.d_loss, batch, self.d_optimizer, gan.D, gan.G)
            gan.after_d_step()
        terms |= self._minimise("g", gan.g_loss, batch, self.g_optimizer, gan.G, gan.D)
        seen = self.images_seen + self.images_per_step
        half_life = min(gan.average_share * seen, AVERAGE_MOST)
        gan.update_average(0.5 ** (self.images_per_step / half_life) if half_life else 0.0)
        return terms

    def _set_progress(self, p: float) -> None:
        """Tells the GAN, and lowers both learning rates along half a cosine to `final_rate`."""
        gan = self.gan
        gan.set_progress(p)
        share = gan.final_rate + (1.0 - gan.final_rate) * 0.5 * (1.0 + cos(pi * p))
        for optimizer, rate in (
            (self.d_optimizer, gan.learning_rate_d),
            (self.g_optimizer, gan.learning_rate_g),
        ):
            optimizer.param_groups[0]["lr"] = rate * share

    def _minimise(self, who, loss, batch, optimizer, player, opponent) -> dict[str, Tensor]:
        """One optimiser step of `player` while its opponent's weights are frozen."""
        player.requires_grad_(True)
        opponent.requires_grad_(False)
        with torch.autocast(
            self.device.type, self.precision, enabled=self.precision is not torch.float32
        ):
            terms = loss(batch)
        optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(sum(terms.values())).backward()
        ranks.average_gradients(player.parameters())
        self.scaler.step(optimizer)
        self.scaler.update()
        return {f"{who}_{name}": value.detach() for name, value in terms.items()}

    def _log(self, terms: dict[str, Tensor]) -> None:
        # a loss may be finite and its gradient not
        weights = {"d_weights": _sum(self.gan.D), "g_weights": _sum(self.gan.G)}
        told = ranks.mean(torch.stack([*terms.values(), *weights.values()]))
        # the one moment that waits for the device
        values = dict(zip([*terms, *weights], told.tolist(), strict=True))
        for name in sorted(values, key=lambda name: name[0]):  # D's first: its step comes first
            if not isfinite(values[name]):
                raise TrainingDiverged(name, values[name], self.step)
        # an interrupted training must leave the same history as an uninterrupted one
        if self.at_log_point:
            losses = {name: values[name] for name in terms}
            self.history.append({"step": self.step, "images": self.images_seen, **losses})


def _sum(player: torch.nn.Module) -> Tensor:
    """The sum of all weights, a scalar: not finite as soon as one is not."""
    return torch.stack([weight.detach().float().sum() for weight in player.parameters()]).sum()


def _adam(
    player: torch.nn.Module, learning_rate: float, betas: tuple[float, float]
) -> torch.optim.Adam:
    return torch.optim.Adam(player.parameters(), lr=learning_rate, betas=betas, fused=True)


def precision(device: torch.device) -> torch.dtype:
    """The fastest dtype this device multiplies in hardware: bfloat16, else float16 (old GPUs), else
    float32 (CPU)."""
    if device.type == "cuda":
        return (
            torch.bfloat16 if torch.cuda.get_device_capability(device) >= (8, 0) else torch.float16
        )
    flags = Path("/proc/cpuinfo")
    known = flags.exists() and {"avx512_bf16", "amx_bf16"} & set(flags.read_text().split())
    return torch.bfloat16 if known else torch.float32


@contextmanager
def _held_interrupt() -> Iterator[threading.Event]:
    """Yields what is set when Ctrl-C was pressed; raises the KeyboardInterrupt on the way out."""
    pressed = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield pressed
        return
    before = signal.signal(signal.SIGINT, lambda *_: pressed.set())
    try:
        yield pressed
    finally:
        signal.signal(signal.SIGINT, before)
    if pressed.is_set():
        raise KeyboardInterrupt
