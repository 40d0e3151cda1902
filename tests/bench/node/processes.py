"""The peak memory of each of cryopod's own processes while something runs."""
import contextlib
import os
import pathlib
import threading
import time

INTERVAL_S = 0.01
PREFIX = "/opt/cryopod/"
CRIU_NAMES = {"criu"}


class PeakWatch:
    """As a context: looks at all processes again and again, and keeps the highest mark of each program."""

    def __enter__(self):
        self.peaks_mib = {}
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def _run(self):
        while not self._ended.is_set():
            self._look()
            time.sleep(INTERVAL_S)

    def _look(self):
        for folder in pathlib.Path("/proc").glob("[0-9]*"):
            # Processes come and go between the looks.
            with contextlib.suppress(OSError, ValueError):
                name = _program(folder)
                if name is not None:
                    peak = _anonymous_peak_mib(folder)
                    self.peaks_mib[name] = max(peak, self.peaks_mib.get(name, 0))


def _program(folder):
    program = os.readlink(folder / "exe").removesuffix(" (deleted)")
    name = os.path.basename(program)
    if program.startswith(PREFIX) or name in CRIU_NAMES:
        return name
    return None


def _anonymous_peak_mib(folder):
    """VmHWM counts mapped files too: a tmpfs with images that is mapped would count here."""
    for line in (folder / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0


def resident_mib(program):
    for folder in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if _program(folder) == program:
                for line in (folder / "status").read_text().splitlines():
                    if line.startswith("VmRSS:"):
                        return int(line.split()[1]) / 1024
    return None
