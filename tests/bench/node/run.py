"""Runs a plan of the benchmark inside a node: one line of JSON for everything that was measured.

    python3 -B run.py PLAN.json

{"kind": "leg", "case", "peer", "round", "act": "checkpoint"|"restore", "page_us", values…}
{"kind": "n/a", "case", "peer", "act", "reason"}
{"kind": "peaks", "case", "mib": {program: peak}}
{"kind": "exec", "cryopod": [ms…], "runc": [ms…]}
{"kind": "limits", …}  {"kind": "resident", "agent_mib"}
"""
import contextlib
import json
import pathlib
import random
import shutil
import sys

import containerd_peer
import exec_cost
import processes
from commands import LIMITS, CommandFailed, run, run_json
from cri_pod import HOME
from cryopod_peer import CryopodPeer
from load import PROGRAM
from podman_peer import PodmanPeer
from raw_criu_container_peer import RawCriuContainerPeer
from raw_criu_peer import RawCriuPeer
from runc_peer import RuncPeer

PEERS = {peer.name: peer for peer in (CryopodPeer, containerd_peer.ContainerdPeer, RawCriuPeer,
                                      RawCriuContainerPeer, RuncPeer, PodmanPeer)}
# Beside twice the load's memory: the peers' images and archives.
CONDITION_MORE_MIB = 512
CONDITION_MIB_MAX = 6144


def say(kind, **values):
    print(json.dumps({"kind": kind, **values}), flush=True)


def condition(case):
    """Gives the machine warm memory and quiet disks; what a page costs now."""
    run("sync")
    mib = min(CONDITION_MIB_MAX, 2 * case["mib"] + CONDITION_MORE_MIB)
    return run_json(LIMITS, "condition", mib)["page_us"]


class CaseRun:
    """One case with all of its peers, in turns. A case `beside` it takes part with ours alone, in the
    same rounds; peers named in `rounds_of` take part in the first so many."""

    def __init__(self, case, peers, rounds):
        self._name = case["name"]
        self._rounds = rounds
        self._sides = [(case, PEERS[name](case)) for name in peers]
        if case.get("beside"):
            self._sides.append((case["beside"], CryopodPeer(case["beside"])))

    def run(self):
        try:
            self._start()
            order = random.Random(self._name)
            for number in range(self._rounds):
                turn = [side for side in self._sides if number < self._rounds_of(*side)]
                order.shuffle(turn)
                for side in turn:
                    self._leg(side, number)
        finally:
            for _, peer in self._sides:
                self._stop(peer)

    def _rounds_of(self, case, peer):
        return case.get("rounds_of", {}).get(peer.name, self._rounds)

    def _start(self):
        for side in list(self._sides):
            try:
                # What a load's memory is made of decides for all of its rounds what reading it costs.
                condition(side[0])
                side[1].start()
            except CommandFailed as error:
                self._give_up(side, "checkpoint", error)

    def _leg(self, side, number):
        case, peer = side
        acts = ["checkpoint"]
        if peer.restores and case["restore"]:
            acts.append("restore")
        for act in acts:
            try:
                page_us = condition(case)
                values = getattr(peer, act)()
            except CommandFailed as error:
                self._give_up(side, act, error)
                return
            say("leg", case=case["name"], peer=peer.name, round=number, act=act, page_us=page_us,
                **values)
        with contextlib.suppress(CommandFailed):
            peer.tidy()

    def _give_up(self, side, act, error):
        case, peer = side
        say("n/a", case=case["name"], peer=peer.name, act=act, reason=str(error))
        self._stop(peer)
        self._sides.remove(side)

    @staticmethod
    def _stop(peer):
        try:
            peer.stop()
        except CommandFailed as error:
            print(f"bench: stopping {peer.name}: {error}", file=sys.stderr)


def peaks(case):
    """A checkpoint and a restore of ours under watch, apart from the legs that are timed."""
    peer = CryopodPeer(case)
    try:
        peer.start()
        with processes.PeakWatch() as watch:
            peer.checkpoint()
            peer.restore()
        say("peaks", case=case["name"], total_mib=case["mib"], mib=watch.peaks_mib)
        peer.tidy()
    except CommandFailed as error:
        say("n/a", case=case["name"], peer=peer.name, act="peaks", reason=str(error))
    finally:
        CaseRun._stop(peer)


def execs(rounds):
    try:
        say("exec", **exec_cost.measure_exec(rounds))
    except CommandFailed as error:
        say("n/a", case="exec", peer=CryopodPeer.name, act="exec", reason=str(error))


def prepare():
    shutil.rmtree(HOME, ignore_errors=True)
    HOME.mkdir(parents=True)
    pathlib.Path(PROGRAM).chmod(0o755)


def main():
    plan = json.loads(pathlib.Path(sys.argv[1]).read_text())
    prepare()
    try:
        say("limits", **run_json(LIMITS, "measure", HOME))
        for case in plan["cases"]:
            CaseRun(case, case["peers"], plan["rounds"]).run()
        for case in plan["peaks"]:
            peaks(case)
        if plan["execs"]:
            execs(plan["execs"])
        say("resident", agent_mib=processes.resident_mib("cryopod-agent"))
    finally:
        containerd_peer.stop_registry()


if __name__ == "__main__":
    main()
