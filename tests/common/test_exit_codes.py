"""How commands end."""

import contextlib
import errno
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from swin_umamba.commands.cli import main
from swin_umamba.common.console import capture_output
from swin_umamba.common.errors import OutOfTime, RunError, UserError
from swin_umamba.common.exit_codes import execute
from swin_umamba.common.failures import explain_failures
from swin_umamba.common.files import replace_atomically

WAIT = """
import sys, time
from swin_umamba.common.exit_codes import execute

def run(args):
    try:
        print("running", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)

sys.exit(execute(run, None, "command"))
"""
ENDING = """
import atexit, signal, sys
from swin_umamba.common.exit_codes import execute
from swin_umamba.common.time_limit import end_in_time

signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

def say(word):
    print(word, flush=True)
    sys.stdin.readline()

def run(args):
    with end_in_time(None):
        try:
            say("running")
        finally:
            say("ending")
            say("ended")

atexit.register(say, "exiting")
sys.exit(execute(run, None, "command"))
"""
COMMAND = "import sys; from swin_umamba.commands.cli import main; sys.exit(main())"
WRONG = """
import sys
from swin_umamba.common.errors import UserError
from swin_umamba.common.exit_codes import execute

def run(args):
    raise UserError("wrong")

sys.exit(execute(run, None, "command"))
"""
CLOSED = """
import os, sys
from pathlib import Path
from swin_umamba.commands.cli import main
from swin_umamba.common.console import capture_output
from swin_umamba.common.exit_codes import execute

def run(folder):
    with open(folder / "data", "w") as file, capture_output(folder / "log") as console:
        console.print("shown")
        print("printed")
        file.write("written")
    print("printed")
    print("printed", file=sys.stderr)

os._exit(execute(run, Path(sys.argv[1]), "command"))
"""
POOL = """
import multiprocessing, sys, time
from swin_umamba.common.exit_codes import execute

def run(args):
    for number in range(50):
        pool = multiprocessing.get_context("fork").Pool(2)
        if number == 0:
            pool.map(abs, [1, 2])
            pool.apply_async(time.sleep, (60,))
        pool.terminate()  # at once, while its workers are being forked
        pool.join()

sys.exit(execute(run, None, "command"))
"""
HUNG = """
import ctypes, os, signal, sys
from swin_umamba.common.exit_codes import execute

def run(args):
    read, write = os.pipe()
    child = os.fork()
    if not child:
        # As of a lock that another thread held when the process was forked: no signal handler of Python's is run in it.
        lock = ctypes.CDLL(None).pthread_mutex_lock
        mutex = ctypes.create_string_buffer(256)
        lock(mutex)
        os.write(write, b"locked")
        lock(mutex)
    os.read(read, 6)
    os.kill(child, signal.SIGTERM)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

execute(run, None, "command")
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_a_command_as_ctrl_c_does(name):
    # The tests themselves may run under nohup, or in the background.
    usual = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    usual += "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"
    command = [sys.executable, "-c", usual + WAIT]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "running\n"
    process.send_signal(getattr(signal, name))
    stdout, stderr = process.communicate(timeout=30)
    assert (process.returncode, stdout, stderr) == (130, "cleaned up\n", "command: interrupted\n")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("SIGINT", "SIGINT"),
        ("SIGINT", "SIGTERM"),
        ("SIGTERM", "SIGTERM"),
        ("SIGTERM", "SIGUSR1"),
        ("SIGHUP", "SIGTERM"),
        ("SIGUSR1", "SIGTERM"),
        ("SIGUSR1", "SIGUSR1"),
    ],
)
def test_a_second_signal_changes_nothing_in_the_ending(first, second):
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = subprocess.Popen([sys.executable, "-c", ENDING], **streams, text=True, bufsize=1)
    seen = [process.stdout.readline()]
    process.send_signal(getattr(signal, first))
    for _ in range(3):
        seen.append(process.stdout.readline())
        if second != "SIGINT" or len(seen) == 2:  # later an impatient user may end Python itself
            process.send_signal(getattr(signal, second))
        process.stdin.write("go on\n")
    stdout, stderr = process.communicate(timeout=30)
    assert "".join([*seen, stdout]) == "running\nending\nended\nexiting\n"
    code, words = (75, "out of time; what is finished") if first == "SIGUSR1" else (130, "interrupted")
    assert (process.returncode, stderr.count("\n")) == (code, 1)
    assert stderr.startswith(f"command: {words}")


def test_what_nohup_ignores_stays_ignored():
    script = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n" + WAIT.replace(
        "time.sleep(60)", "time.sleep(1)"
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "running\n"
    process.send_signal(signal.SIGHUP)
    assert process.communicate(timeout=30)[0] == "cleaned up\n"
    assert process.returncode == 0


def test_workers_of_a_pool_end_as_before():
    done = subprocess.run([sys.executable, "-c", POOL], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_worker_that_hangs_in_a_lock_can_be_ended():
    done = subprocess.run([sys.executable, "-c", HUNG], capture_output=True, timeout=60)
    assert done.returncode == 256 - signal.SIGTERM


def full(args):
    try:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "file")
    except OSError as error:
        raise RuntimeError("[enforce fail at inline_container.cc:1] . PytorchStreamWriter failed") from error


def test_a_full_disk_is_named(tmp_path, capsys):
    assert execute(full, None, "command") == 1
    assert capsys.readouterr().err == (
        "command: the disk is full (No space left on device: file); make room and try again\n"
    )
    message = r"^the disk is full \(No space left on device: file\); .* --resume$"
    with pytest.raises(RunError, match=message), explain_failures(tmp_path / "log", Console(quiet=True)):
        full(None)


FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a file that is always full")


@FULL
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--version"], ["--help"], ["train", "--help"], ["train", "--version"]])
def test_an_answer_that_cannot_be_written_is_an_error(words, unbuffered):
    with open("/dev/full", "w") as full:
        done = _python([COMMAND, *words], stdout=full, stderr=subprocess.PIPE, PYTHONUNBUFFERED=unbuffered)
    prog = " ".join(["swin-umamba", *words[:-1]])
    assert done.stderr == f"{prog}: the disk is full (No space left on device); make room and try again\n"
    assert done.returncode == 1


@FULL
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_summary_that_cannot_be_written_is_an_error(unbuffered):
    with open("/dev/full", "w") as full:
        done = _python(
            [COMMAND, "nnunet-path", "--json"], stdout=full, stderr=subprocess.PIPE, PYTHONUNBUFFERED=unbuffered
        )
    said = "swin-umamba nnunet-path: the disk is full (No space left on device); make room and try again"
    assert done.stderr.splitlines()[1:] == [said]
    assert done.returncode == 1


@FULL
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_the_code_is_right_where_the_error_cannot_be_written(unbuffered):
    with open("/dev/full", "w") as full:
        assert _python([WRONG], stderr=full, PYTHONUNBUFFERED=unbuffered).returncode == 2


def _python(arguments, *, PYTHONUNBUFFERED, **streams):
    environment = os.environ | {"PYTHONUNBUFFERED": PYTHONUNBUFFERED}
    return subprocess.run([sys.executable, "-c", *arguments], text=True, env=environment, check=False, **streams)


@FULL
def test_a_log_on_a_full_disk_does_not_hide_why_the_work_ended():
    def work():
        with capture_output(Path("/dev/full")):
            print("half a line", end="")
            raise RunError("why")

    with pytest.raises(RunError, match="why"):
        work()


def test_what_nobody_foresaw_is_not_hidden():
    with pytest.raises(ZeroDivisionError):
        execute(lambda args: 1 / 0, None, "command")


def test_a_message_is_one_line(capsys):
    def run(args):
        raise UserError("no label\nhere\x1b[31m")

    assert execute(run, None, "command") == 2
    assert capsys.readouterr().err == "command: error: no label here\\x1b[31m\n"


def test_a_file_that_could_not_be_written_leaves_nothing(tmp_path):
    (tmp_path / "x").write_text("former")

    def write():
        with replace_atomically(tmp_path / "x") as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "full")

    with pytest.raises(OSError, match="full"):
        write()
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert (tmp_path / "x").read_text() == "former"


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_nobody_who_listens(tmp_path, closed):
    """And no file gets its number, and with it what is printed."""
    command = ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", CLOSED, tmp_path]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert (tmp_path / "data").read_text() == "written"
    assert (tmp_path / "log").read_text() == "printed\n"


@pytest.mark.parametrize("in_a_training", [False, True])
@pytest.mark.parametrize(("stop", "code"), [(KeyboardInterrupt, 130), (OutOfTime, 75)])
def test_an_interruption_while_a_checkpoint_is_written_is_one(tmp_path, capsys, stop, code, in_a_training):
    """PyTorch's archive, which is left half written, then ends with a RuntimeError of its own."""

    class Stopped(io.BytesIO):
        writes = 0

        def write(self, data):
            self.writes += 1
            if self.writes == 3:
                raise stop
            return super().write(data)

    console = Console(file=io.StringIO())

    def run(_):
        import torch

        with explain_failures(tmp_path / "log", console) if in_a_training else contextlib.nullcontext():
            torch.save(torch.ones(1000), Stopped())

    assert execute(run, None, "command") == code
    assert ("stopped; go on" in console.file.getvalue()) == in_a_training
    assert "failed" not in capsys.readouterr().err


def test_an_interruption_that_a_library_loses_is_one(capsys):
    """As numpy in C does, which was importing datetime: nothing leads from its error to the interruption."""

    def run(args):
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        raise ImportError('PyCapsule_Import could not import module "datetime"')

    def fail(args):
        raise ZeroDivisionError

    assert execute(run, None, "command") == 130
    assert capsys.readouterr().err == "command: interrupted\n"
    with pytest.raises(ZeroDivisionError):
        execute(fail, None, "command")


@pytest.mark.parametrize(
    ("encoding", "settings"),
    [
        ("ascii", {"PYTHONIOENCODING": "ascii"}),
        ("latin-1", {"PYTHONIOENCODING": "latin-1"}),
        ("ascii", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    ],
    ids=["ascii", "latin-1", "C"],
)
@pytest.mark.parametrize("words", [["train", "--help"], ["prepare", "endoscopy", "--help"]])
def test_an_output_that_has_no_character_for_something_gets_the_rest(words, encoding, settings):
    def said(encoding, settings):
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"} | settings
        done = subprocess.run([sys.executable, "-c", COMMAND, *words], capture_output=True, env=environment)
        assert (done.returncode, done.stderr) == (0, b"")
        return done.stdout.decode(encoding)

    wanted = said("utf-8", {"PYTHONIOENCODING": "utf-8"}).encode(encoding, "backslashreplace")
    assert said(encoding, settings) == wanted.decode(encoding)


LONG = "a" * 300


@pytest.mark.parametrize(
    "words",
    [
        ["train", LONG],
        ["train", "--resume", "--output", LONG],
        ["predict", LONG, "out", "--checkpoint", "checkpoint.pth"],
        ["evaluate", LONG, "out", "--metric", "labels"],
        ["export", LONG, "out"],
        ["compare", LONG],
        ["prepare", "folder", LONG, "masks", "Dataset501_A"],
    ],
    ids=lambda words: words[0],
)
def test_a_name_that_no_disk_can_hold_is_wrong_input(words, tmp_path, monkeypatch, capsys, environment):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"swin-umamba {words[0]}: error: cannot use ")
    assert error.endswith(": File name too long; name another\n")
    assert len(error) < 300


def test_a_folder_that_is_not_ours_to_enter_is_wrong_input(capsys):
    def enter(path):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    assert execute(enter, "/root/data", "command") == 2
    assert capsys.readouterr().err == "command: error: cannot use /root/data: Permission denied; name another\n"
