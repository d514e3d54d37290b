"""OpenVINO's own runtime: what it must not do, and what it is told."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from export.errors import DeviceError
from export.runtime.devices import openvino
from export.runtime.engines.openvino import OpenVinoSession, core, cut_to_prob, load
from export.runtime.opening import open_model
from export.runtime.plan import Plan
from tests.support.artefact import TINY_SIZE, tiny_model

MEGABYTE = 2**20


def pictures(count: int, seed: int = 0) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 256, (count, TINY_SIZE, TINY_SIZE, 3), np.uint8)


def test_it_is_there_on_this_machine() -> None:
    """Wherever its wheels are installed it has a device: whoever made the CPU."""
    assert "CPU" in core().available_devices
    assert openvino.plans()[-1].precision == "fp32"


def test_bf16_is_offered_where_the_cpu_computes_in_it_and_first() -> None:
    native = "BF16" in core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    assert [plan.compute for plan in openvino.plans()] == ["bf16"] * native + ["fp32"]


@pytest.mark.parametrize("plan", openvino.plans(), ids=lambda plan: plan.compute)
def test_it_is_told_its_precision_its_threads_and_one_stream(model_file: Path, plan: Plan) -> None:
    session = OpenVinoSession(model_file, plan, size=TINY_SIZE, batch=2, threads=1)
    compiled = session._request.get_compiled_model()
    assert (
        compiled.get_property("INFERENCE_PRECISION_HINT").to_string() == {"fp32": "f32", "bf16": "bf16"}[plan.compute]
    )
    assert compiled.get_property("INFERENCE_NUM_THREADS") == 1
    assert int(compiled.get_property("NUM_STREAMS")) == 1


def test_a_precision_that_it_does_not_take_is_an_error(model_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It accepts hints in silence; what it says afterwards counts."""
    module = load()
    compile_model = module.Core.compile_model

    def in_fp32(core: object, model: object, device: str, how: dict[str, object]) -> object:
        return compile_model(core, model, device, {**how, "INFERENCE_PRECISION_HINT": "f32"})

    monkeypatch.setattr(module.Core, "compile_model", in_fp32)
    plan = dataclasses.replace(openvino.plans()[-1], compute="bf16")
    with pytest.raises(DeviceError, match="asked for bf16, OpenVINO computes in f32"):
        OpenVinoSession(model_file, plan, size=TINY_SIZE, batch=2, threads=1)


def test_threads_that_share_a_model_get_their_own_results(model_file: Path) -> None:
    model = open_model(model_file, "openvino", batch=2, compute="fp32")
    inputs = [pictures(3, seed) for seed in range(4)]
    expected = [model.prob(images) for images in inputs]
    wrong: list[int] = []

    def work(index: int) -> None:
        wrong.extend(index for _ in range(15) if not np.array_equal(model.prob(inputs[index]), expected[index]))

    threads = [threading.Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.slow
def test_models_side_by_side_do_not_mix(model_file: Path, tmp_path: Path) -> None:
    other = tiny_model(tmp_path / "other.onnx", seed=1)
    images = pictures(5)
    expected = [open_model(path, "cpu").prob(images) for path in (model_file, other)]
    models = [open_model(path, "openvino", batch=2, compute="fp32") for path in (model_file, other) * 10]
    for _ in range(2):
        for index, model in enumerate(models):
            np.testing.assert_allclose(model.prob(images), expected[index % 2], atol=1e-5)


CLOSED_IN_TURN = """
import gc, os, signal, sys, threading
from pathlib import Path
from export.runtime.opening import open_model

def open_two():
    models = [open_model(Path(sys.argv[1]), "openvino") for _ in range(2)]
    while models:
        models.pop(0)
        gc.collect()

open_two()
thread = threading.Thread(target=open_two)
thread.start()
thread.join()
signal.signal(signal.SIGINT, lambda *_: print("answered"))
os.kill(os.getpid(), signal.SIGINT)
"""


@pytest.mark.skipif(os.name == "nt", reason="no signals to handle there")
def test_a_signal_is_answered_after_models_were_closed_in_the_order_of_opening(model_file: Path) -> None:
    """Each of OpenVINO's cores left the main thread with a stack for signals that was no more."""
    done = subprocess.run(
        [sys.executable, "-c", CLOSED_IN_TURN, str(model_file)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "answered\n"), done.stderr


OPENED_OFTEN = """
import gc, os, sys, threading
from pathlib import Path
import numpy as np
from export.runtime.opening import open_model
path, threads = Path(sys.argv[1]), int(sys.argv[2])
images = np.zeros((2, 64, 64, 3), np.uint8)

def resident():
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

def open_some():
    for _ in range(20 // threads):
        open_model(path, "openvino", batch=2, threads=1, compute="fp32").prob(images)

def all_threads():
    workers = [threading.Thread(target=open_some) for _ in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

open_model(path, "openvino", batch=2, threads=1, compute="fp32").prob(images)  # what is done once, in one thread
all_threads()
before = resident()
all_threads()
print(resident() - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("threads", [1, 4])
def test_models_that_are_opened_and_closed_leave_no_memory(model_file: Path, repo_root: Path, threads: int) -> None:
    """In a process of its own, whose memory nothing else changes."""
    command = [sys.executable, "-c", OPENED_OFTEN, str(model_file), str(threads)]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 20


FIRST_USE = """
import sys, threading
from pathlib import Path
import numpy as np
from export.runtime.opening import open_model
path, count = Path(sys.argv[1]), 6
begin = threading.Barrier(count)
images = np.zeros((2, 64, 64, 3), np.uint8)

def use():
    begin.wait()
    open_model(path, "openvino", batch=2, threads=1, compute="fp32").prob(images)

threads = [threading.Thread(target=use) for _ in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_threads_that_use_it_first_at_the_same_time_do_not_wait_for_each_other(
    model_file: Path, repo_root: Path, attempt: int
) -> None:
    command = [sys.executable, "-c", FIRST_USE, str(model_file)]
    done = subprocess.run(command, cwd=repo_root, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


FORKED = """
import os, signal, sys
from pathlib import Path
import numpy as np
from export.errors import DeviceError
from export.runtime.opening import open_model
from export.runtime.plan import Plan
path, first, then = Path(sys.argv[1]), *sys.argv[2:]
if first != "nothing":
    model = open_model(path, first)
    images = np.zeros((2, 64, 64, 3), np.uint8)
    expected = model.prob(images)
child = os.fork()
if child == 0:
    signal.alarm(60)
    try:
        model.prob(images) if then == "use" else open_model(path, then)
    except DeviceError as error:
        print(error, flush=True)
        os._exit(7)
    os._exit(0)
status = os.waitpid(child, 0)[1]
if first != "nothing":
    np.testing.assert_array_equal(model.prob(images), expected)
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.parametrize(
    ("first", "then", "code"),
    [
        ("openvino", "openvino", 7), ("openvino", "use", 7), ("openvino", "auto", 7), ("cpu", "cpu", 7),
        ("cpu", "openvino", 7), ("nothing", "openvino", 0), ("nothing", "cpu", 0),
    ],
)  # fmt: skip
def test_a_fork_gets_a_sentence_and_never_hangs(
    model_file: Path, repo_root: Path, first: str, then: str, code: int
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKED, str(model_file), first, then],
        cwd=repo_root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    if code:
        assert "forked after its parent opened a model" in done.stdout
        assert "'spawn'" in done.stdout


def _probs(path: Path, images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> object:
    return open_model(path, "openvino", batch=2, compute="fp32").prob(images)


@pytest.mark.slow
def test_spawned_processes_work_beside_an_open_model(model_file: Path) -> None:
    images = pictures(3)
    expected = open_model(model_file, "openvino", batch=2, compute="fp32").prob(images)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for found in pool.starmap(_probs, [(model_file, images)] * 2):
            np.testing.assert_array_equal(found, expected)


SILENT = """
import sys
from pathlib import Path
import numpy as np
from export import Segmenter
print(Segmenter(sys.argv[1], "openvino")(np.zeros((50, 60, 3), np.uint8)).mask.shape)
import openvino
assert openvino.convert_model  # what hides the telemetry hides nothing else
"""


def whole_calls(lines: Iterable[str]) -> Iterator[str]:
    """Join the lines of strace for one call, which it splits where another process comes between."""
    begun: dict[str, str] = {}
    for line in lines:
        process = line.split(maxsplit=1)[0]
        if line.endswith("<unfinished ...>"):
            begun[process] = line.removesuffix("<unfinished ...>")
        elif " resumed>" in line:
            yield begun.pop(process, process) + line.partition(" resumed>")[2]
        else:
            yield line
    yield from begun.values()


def test_lines_of_one_call_are_joined() -> None:
    lines = [
        "7  clone3({flags=CLONE_THREAD}, 88 <unfinished ...>",
        '8  execve("/bin/a", [] <unfinished ...>',
        "7  <... clone3 resumed> => {}) = 9",
        "9  fork() = 10",
    ]
    joined = ["7  clone3({flags=CLONE_THREAD}, 88  => {}) = 9", "9  fork() = 10", '8  execve("/bin/a", [] ']
    assert list(whole_calls(lines)) == joined


@pytest.mark.parametrize("what", ["run", "doctor", "check", "inspect", "python"])
def test_nothing_phones_home(model_file: Path, tmp_path: Path, repo_root: Path, synth_root: Path, what: str) -> None:
    """No file in the user's home, no look-up of a name, no process but our own.

    ``import openvino`` left alone forks a process that reports to a server and writes ``~/intel``; onnxruntime reports
    model files and hardware, and writes ``~/.cache/Microsoft``.
    """
    from tests.support.archive import save
    from tests.support.artefact import tiny_checkpoint

    save(tmp_path / "in" / "a.png")
    tiny_checkpoint(tmp_path / "tiny.pt")
    commands = {
        "run": ["-c", "from batch.cli import main; main()", "run", str(tmp_path / "in"), "--out", str(tmp_path / "out"),
                "--model", str(model_file), "--device", "openvino"],
        "doctor": ["-c", "from batch.cli import main; main()", "doctor", "--model", str(model_file)],
        "check": ["-c", "from export.cli import main; main()", "check", str(model_file), str(tmp_path / "tiny.pt"),
                  "--images", str(tmp_path / "in"), "--device", "openvino"],
        "inspect": ["-c", "from seglab.cli import main; main()", "inspect", str(synth_root)],
        "python": ["-c", SILENT, str(model_file)],
    }  # fmt: skip
    home, log = tmp_path / "home", tmp_path / "strace.log"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME")}
    environment |= {"HOME": str(home), "PYTHONPATH": str(repo_root)}
    trace = ["strace", "-f", "-qq", "-o", str(log), "-e", "trace=connect,sendto,execve,fork,vfork,clone,clone3"]
    if shutil.which("strace") is None:  # .ci/run installs it
        trace = []
    done = subprocess.run(
        [*trace, sys.executable, *commands[what]],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not list(home.rglob("*"))
    calls = list(whole_calls(log.read_text().splitlines())) if trace else []
    assert not [line for line in calls if "connect(" in line or "sendto(" in line]
    begun = [line for line in calls if "fork(" in line or ("clone" in line and "CLONE_THREAD" not in line)]
    programs = [re.search(r'execve\("([^"]*)"', line) for line in calls if "ENOENT" not in line]
    others = {program[1] for program in programs if program} - {sys.executable, "/sbin/ldconfig"}
    assert not others  # torch asks ldconfig where a library is
    workers = [line for line in calls if "batch.executors.worker" in line and "execve(" in line]
    assert len(begun) <= len([line for line in calls if "ldconfig" in line and "execve(" in line]) + len(workers)


def test_resizing_to_the_same_size_is_left_out_and_any_other_stays(model_file: Path) -> None:
    """Both graphs give the same for images of the network's size, where resizing changes nothing."""
    images = pictures(1)
    whole = core().read_model(model_file)
    whole.reshape({whole.input(0): list(images.shape)})
    as_fp32 = {"INFERENCE_PRECISION_HINT": "f32"}
    expected = core().compile_model(whole, "CPU", as_fp32)(images)["prob"]
    for side, count in ((TINY_SIZE, 0), (2 * TINY_SIZE, 1)):
        cut = cut_to_prob(model_file, [1, side, side, 3])
        resized = [node for node in cut.get_ordered_ops() if node.get_friendly_name() == "resized"]
        assert len(resized) == count
        if side == TINY_SIZE:
            found = core().compile_model(cut, "CPU", as_fp32)(images)[0]
            np.testing.assert_allclose(found, expected, atol=1e-5)
