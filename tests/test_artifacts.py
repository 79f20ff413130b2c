"""The run directory: whole files, or a clear refusal."""

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from amity.artifacts import Run, files, fingerprint, write_atomically
from amity.artifacts.files import sha256
from amity.errors import ArtifactError

FACTS = {"inputs": {}, "section": {"seed": 1}, "code": "0.1.0"}


def write_stage(run: Run, text: str, name: str = "train") -> None:
    """A stage whose artifact is one file and one folder of two files."""
    with run.stage(name, **FACTS) as staging:
        (staging.path / "model.txt").write_text(text)
        (staging.path / "graph" / "edges").mkdir(parents=True)
        (staging.path / "graph" / "page.json").write_text(text * 2)
        (staging.path / "graph" / "edges" / "indices.npy").write_text(text * 3)
        staging.summary["length"] = len(text)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    run = Run(tmp_path / "run", write=True)
    write_stage(run, "first")
    return run


def contents(path: Path) -> dict[str, str]:
    return {
        str(file.relative_to(path)): file.read_text()
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name not in ("manifest.json", ".lock")
    }


def test_a_finished_stage_is_recorded_with_what_it_wrote(run: Run):
    record = run.verify("train")
    assert set(record.outputs) == {"model.txt", "graph/page.json", "graph/edges/indices.npy"}
    assert record.outputs["graph/page.json"].bytes == 10
    assert record.section == {"seed": 1}
    assert record.summary == {"length": 5}
    assert record.seconds >= 0
    assert record.peak_rss_bytes > 1 << 20


def test_the_digest_of_a_stage_depends_on_every_file_it_wrote(run: Run):
    before = run.stages["train"].digest
    write_stage(run, "first")
    assert run.stages["train"].digest == before
    write_stage(run, "other")
    assert run.stages["train"].digest != before


def test_a_stage_that_is_done_again_replaces_whole_folders(run: Run):
    with run.stage("train", **FACTS) as staging:
        (staging.path / "graph").mkdir()
        (staging.path / "graph" / "only.json").write_text("x")
    assert set(contents(run.path)) == {"model.txt", "graph/only.json"}


def test_a_stage_that_raises_changes_nothing(run: Run):
    before = contents(run.path)
    with pytest.raises(TypeError), run.stage("train", **FACTS) as staging:
        (staging.path / "model.txt").write_text(None)  # pyright: ignore[reportArgumentType]
    assert contents(run.path) == before
    run.verify("train")


@pytest.mark.parametrize("place", ["model.txt", "graph/edges/indices.npy"])
@pytest.mark.parametrize(
    ("harm", "found"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes instead of"),
        (lambda path: path.write_bytes(path.read_bytes()[::-1]), "checksum"),
        (lambda path: path.write_bytes(b""), "0 bytes instead of"),
    ],
)
def test_a_harmed_file_is_refused_in_one_paragraph_that_names_it(
    run: Run, place: str, harm: Callable[[Path], object], found: str
):
    harm(run.path / place)
    with pytest.raises(ArtifactError, match=found) as refusal:
        Run(run.path, write=False).verify("train")
    message = str(refusal.value)
    assert str(run.path / place) in message
    assert "amity train" in message
    assert "\n" not in message


def test_a_file_that_nobody_wrote_is_refused(run: Run):
    (run.path / "graph" / "edges" / "times.npy").write_text("planted")
    with pytest.raises(ArtifactError, match=r"times\.npy was not written by `amity train`"):
        Run(run.path, write=False).verify("train")


@pytest.mark.parametrize("name", ["notes.txt", ".staging-notes", ".old-letters/a.txt"])
def test_files_beside_the_artifacts_are_nobodys_business(run: Run, name: str):
    (run.path / name).parent.mkdir(exist_ok=True)
    (run.path / name).write_text("mine")
    run.close()
    with Run(run.path, write=True) as again:
        write_stage(again, "other")
        again.verify("train")
    assert (run.path / name).read_text() == "mine"


def test_a_stage_that_has_not_run_is_named(run: Run):
    with pytest.raises(ArtifactError, match="no finished `embed` stage"):
        run.verify("embed")


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace('"seed": 1', '"seed": 2'),
        lambda text: "[]",
        lambda text: "{}",
        lambda text: text.replace("amity run 1", "amity run 9"),
    ],
)
def test_a_spoiled_manifest_is_refused(run: Run, spoil: Callable[[str], str]):
    manifest = run.path / "manifest.json"
    manifest.write_text(spoil(manifest.read_text()))
    with pytest.raises(ArtifactError, match="not what amity wrote"):
        Run(run.path, write=False)


def test_a_directory_without_a_manifest_is_no_run(tmp_path: Path):
    with pytest.raises(ArtifactError, match="is no run of amity"):
        Run(tmp_path, write=False)


@pytest.mark.parametrize("name", ["graph/mine.txt", "config.toml", ".old-letters/a.txt", ".staging-notes"])
def test_a_directory_of_somebody_elses_is_refused_and_left_as_it_is(tmp_path: Path, name: str):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ArtifactError, match="is not empty and no run of amity: it holds"):
        Run(tmp_path, write=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / name).read_text() == "mine"


def test_a_beginning_that_was_killed_and_tables_do_not_keep_a_run_from_beginning(tmp_path: Path):
    for name in (".lock", ".new-manifest.json"):
        (tmp_path / name).write_text("")
    (tmp_path / "data").mkdir()
    with Run(tmp_path, write=True) as run:
        write_stage(run, "first")
    Run(tmp_path, write=False).verify("train")


def pend(run: Run, name: str) -> None:
    """Leave the run as a kill leaves it that came when a stage was committed, and nothing in its place."""
    manifest = run._manifest()
    manifest["pending"] = {"stage": name, "record": manifest["stages"]["train"]}
    run._write(manifest)
    run.close()


@pytest.mark.parametrize("link", [False, True])
def test_whoever_opens_a_run_moves_nothing_into_it_from_elsewhere(run: Run, tmp_path: Path, link: bool):
    (tmp_path / "victim" / "folder").mkdir(parents=True)
    (run.path / ".staging-x").mkdir()
    if link:
        (run.path / ".staging").symlink_to(tmp_path / "victim")
    pend(run, "train" if link else "x/../../victim")
    Run(run.path, write=False)
    assert (tmp_path / "victim" / "folder").is_dir()
    assert not (run.path / "folder").exists()


@pytest.mark.parametrize("dangling", [False, True])
def test_a_folder_that_was_moved_elsewhere_and_linked_to_can_be_made_again(run: Run, tmp_path: Path, dangling: bool):
    moved = (run.path / "graph").rename(tmp_path / "moved")
    (run.path / "graph").symlink_to(moved)
    run.verify("train")
    if dangling:
        moved.rename(tmp_path / "gone")
    write_stage(run, "other")
    run.verify("train")
    assert (run.path / "graph" / "page.json").read_text() == "otherother"
    assert not (run.path / "graph").is_symlink()
    assert dangling or (moved / "page.json").read_text() == "firstfirst"


def test_a_file_cannot_be_a_run(tmp_path: Path):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/run"):
        with pytest.raises(ArtifactError, match="file is a file"):
            Run(tmp_path / place, write=True)


def test_a_second_writer_is_turned_away_until_the_first_is_done(run: Run):
    with pytest.raises(ArtifactError, match="Another process is writing"):
        Run(run.path, write=True)
    Run(run.path, write=False).verify("train")
    run.close()
    Run(run.path, write=True).close()


def test_a_changed_table_changes_the_fingerprint(tmp_path: Path):
    (tmp_path / "edges.csv").write_text("src,dst\n1,2\n")
    before = fingerprint(tmp_path, ["edges.csv"])
    (tmp_path / "readme.md").write_text("hello")
    assert fingerprint(tmp_path, ["edges.csv"]) == before
    assert fingerprint(tmp_path, ["edges.csv", "readme.md"]) != before
    (tmp_path / "edges.csv").write_text("src,dst\n1,3\n")
    assert fingerprint(tmp_path, ["edges.csv"]) != before


def test_writing_atomically_leaves_nothing_beside_the_file(tmp_path: Path):
    write_atomically(tmp_path / "page.json", b"one")
    write_atomically(tmp_path / "page.json", b"two")
    assert [path.name for path in tmp_path.iterdir()] == ["page.json"]
    assert (tmp_path / "page.json").read_bytes() == b"two"


FILE_OPERATIONS = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree")


def write_and_die(path: Path, moment: int) -> int:
    """Write a stage in a child process that is killed before its file operation number `moment`; its exit status."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    calls = 0

    def watch(event: str, arguments: tuple) -> None:
        nonlocal calls
        if event in FILE_OPERATIONS:
            calls += 1
            if calls == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        run = Run(path, write=True)
        sys.addaudithook(watch)
        write_stage(run, "other")
        os._exit(0)
    finally:
        os._exit(1)


def test_a_kill_at_any_file_operation_leaves_the_old_artifact_or_the_new_one(tmp_path: Path):
    found, moment, status = [], 0, -signal.SIGKILL
    while status == -signal.SIGKILL:
        moment += 1
        path = tmp_path / str(moment)
        with Run(path, write=True) as run:
            write_stage(run, "first")
        status = write_and_die(path, moment)
        Run(path, write=False).verify("train")
        text = (path / "model.txt").read_text()
        assert (path / "graph" / "page.json").read_text() == text * 2
        assert (path / "graph" / "edges" / "indices.npy").read_text() == text * 3
        found.append(text)
        with Run(path, write=True) as run:
            write_stage(run, "third")
        assert set(contents(path)) == {"model.txt", "graph/page.json", "graph/edges/indices.npy"}
    assert status == 0
    assert found == sorted(found), "once committed, the new artifact stays"
    assert set(found) == {"first", "other"}
    assert moment > 30


def test_a_reader_does_not_disturb_a_writer(run: Run):
    with run.stage("embed", **FACTS) as staging:
        (staging.path / "vectors.npy").write_text("1")
        Run(run.path, write=False).verify("train")
        assert staging.path.is_dir()


def test_a_file_is_read_once_under_all_its_names_and_again_when_it_was_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    read: list[str] = []
    digest = hashlib.file_digest

    def counted(file: BinaryIO, name: str) -> object:
        read.append(file.name)
        return digest(file, name)

    monkeypatch.setattr(files, "SETTLED_NS", -(10**12))
    monkeypatch.setattr(hashlib, "file_digest", counted)
    path = tmp_path / "first"
    path.write_text("one")
    (tmp_path / "second").hardlink_to(path)
    assert sha256(path) == sha256(tmp_path / "second") == hashlib.sha256(b"one").hexdigest()
    assert len(read) == 1
    path.write_text("another")
    assert sha256(path) == hashlib.sha256(b"another").hexdigest()


def test_a_file_that_was_written_to_a_moment_ago_is_read_again(tmp_path: Path):
    path = tmp_path / "file"
    path.write_text("one")
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    assert sha256(path) == hashlib.sha256(b"one").hexdigest()
    path.write_text("two")
    os.utime(path, ns=times)
    assert sha256(path) == hashlib.sha256(b"two").hexdigest()
