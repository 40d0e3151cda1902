"""Foreign programs as folders: the convention by which any program says how it is run and judged."""
import dataclasses
import os
import pathlib
import re
import shlex

START, VERIFY, READY, LOAD = "start", "stop-and-verify", "ready", "load"
SCRIPTS = (START, VERIFY, READY, LOAD)
WORDS = ("packages", "user", "cases")
# What lies beside test programs and is none.
NO_PROGRAM = re.compile(r".*\.(so|hook|checkskip|desc|sh\.inc)|\..*")
IN_CONTAINER = "/foreign/program"
OURS = "/foreign/bin"
HOME = "/foreign/home"
DEFAULT_USER = "foreign"


class NoProgram(Exception):
    """A folder or an argument that does not describe a program; says why."""


@dataclasses.dataclass
class Program:
    """One program: what is in its image, and the commands that run and judge it there."""
    name: str
    folder: pathlib.Path
    packages: tuple = ()
    user: str = DEFAULT_USER
    start: str = ""
    verify: str = ""
    ready: str = "-"
    load: str = "-"
    arguments: tuple = ()
    problem: str = ""  # why it cannot be run at all

    @property
    def slug(self):
        """Its name in names of pods and bundles."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")[:40] or "program"

    def supervise(self):
        return [f"{OURS}/supervise", self.start, self.load, *self.arguments]

    def probe(self):
        return [f"{OURS}/probe", self.ready, *self.arguments]

    def finish(self, seconds):
        return [f"{OURS}/finish", str(seconds), self.verify, *self.arguments]


def programs_of_folder(folder):
    """All programs in DIR, by name: folders with a start, and executable files."""
    folder = pathlib.Path(folder)
    if not folder.is_dir():
        raise NoProgram(f"{folder}: no such folder")
    found = []
    for entry in sorted(folder.iterdir()):
        if entry.is_dir():
            # Something that nobody meant as a program has none of its scripts.
            if any((entry / script).exists() for script in SCRIPTS[:2]):
                found += programs_of(entry)
        elif _is_bare_program(entry):
            found.append(_bare_program(folder, entry.name))
    if not found:
        raise NoProgram(f"{folder}: there is no folder with a {START}, and no executable file")
    return found


def programs_of(folder):
    """The program of one folder, or one for each of its cases."""
    folder = pathlib.Path(folder)
    program = Program(folder.name, folder, packages=_packages(folder), user=_user(folder))
    for field, script in (("start", START), ("verify", VERIFY), ("ready", READY), ("load", LOAD)):
        path = folder / script
        if path.exists():
            setattr(program, field, f"{IN_CONTAINER}/{script}")
            if not os.access(path, os.X_OK):
                program.problem = f"{script} is not executable"
        elif script in (START, VERIFY):
            program.problem = f"it has no {script}"
    cases = _read(folder / "cases").splitlines()
    cases = [shlex.split(line, comments=True) for line in cases]
    cases = [case for case in cases if case]
    return [dataclasses.replace(program, name=f"{program.name} {case[0]}", arguments=tuple(case[1:]))
            for case in cases] or [program]


def program_of_commands(name, folder, packages, user, commands):
    """Writes the folder of a program that was described on the command line."""
    if not commands.get(START) or not commands.get(VERIFY):
        raise NoProgram("a program needs --start and --verify")
    folder = pathlib.Path(folder) / name
    folder.mkdir(parents=True)
    for script, command in commands.items():
        if command:
            (folder / script).write_text(f"#!/bin/sh\n{command}\n")
            (folder / script).chmod(0o755)
    (folder / "packages").write_text(" ".join(packages))
    (folder / "user").write_text(user or DEFAULT_USER)
    return programs_of(folder)


def _is_bare_program(path):
    return (path.is_file() and os.access(path, os.X_OK) and path.name not in SCRIPTS + WORDS
            and not NO_PROGRAM.fullmatch(path.name))


def _bare_program(folder, name):
    """An executable file: the folder's scripts get its path, or those for CRIU's kind do."""
    def script(named, default):
        return f"{IN_CONTAINER}/{named}" if os.access(folder / named, os.X_OK) else default

    return Program(name, folder, packages=_packages(folder), user=_user(folder),
                   start=script(START, f"{OURS}/start-daemon"),
                   verify=script(VERIFY, f"{OURS}/stop-daemon-and-verify"),
                   ready=script(READY, "-"), load=script(LOAD, "-"),
                   arguments=(f"{IN_CONTAINER}/{name}",))


def _packages(folder):
    lines = _read(folder / "packages").splitlines()
    return tuple(sorted({word for line in lines for word in line.split("#")[0].split()}))


def _user(folder):
    return _read(folder / "user").strip() or DEFAULT_USER


def _read(path):
    return path.read_text() if path.exists() else ""
