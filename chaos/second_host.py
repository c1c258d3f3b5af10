"""``python -m chaos.second_host``: workers as another host would run them, sharing the first one's stores.

They have node names of their own and a supervisor of their own, which starts them again when they die.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final

from cli.embedded import PROJECT_DIR, load_commands, stack_environment
from cli.interrupts import Interrupts
from cli.processes import Command, Surroundings
from cli.stack import Stack
from cli.terminal import configure_terminal_log
from config.settings import load_settings

WORKERS: Final = ("worker-transcribe", "worker-default")
NODE: Final = "second"


def second_commands(commands: tuple[Command, ...]) -> tuple[Command, ...]:
    """The workers that chunks and joins need, under another host's name."""
    return tuple(
        replace(command, name=f"{command.name}-{NODE}", line=command.line.replace("@%h", f"@{NODE}"))
        for command in commands
        if command.name in WORKERS
    )


def main() -> None:
    """Run until told to stop. The directory of the records of processes is not the first host's."""
    settings = load_settings()
    configure_terminal_log(settings)
    host_dir = settings.data_dir.absolute().with_name(f"{settings.data_dir.name}-{NODE}")
    host_dir.mkdir(parents=True, exist_ok=True)
    commands = second_commands(load_commands(settings))
    surroundings = Surroundings(PROJECT_DIR, host_dir / "logs", stack_environment(settings, "unused"))
    with Interrupts() as interrupts:
        stack = Stack(commands, surroundings, data_dir=host_dir, interrupts=interrupts)
        stack.start()
        try:
            print(f"second host: process {os.getpid()}", flush=True)  # noqa: T201  # says that it has begun
            while not interrupts.is_stop_wanted:
                stack.pause(1.0)
        finally:
            stack.stop()


if __name__ == "__main__":
    main()
