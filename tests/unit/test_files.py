"""Walking folders and zips: every file once, every obstacle named, nothing left behind."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from ingest import files, zips
from ingest.candidate import SIDE_FILES, side_file
from ingest.companions import grouped
from ingest.files import walk


def _zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _problems(*paths: Path) -> dict[str, str]:
    return {c.name: c.problem for c in walk(paths) if c.problem}


def test_folders_are_searched_in_the_order_of_names(tmp_path):
    for name in ("b/2.txt", "a.txt", "b/1.txt", "b/c/3.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    found = [c.name.removeprefix(f"{tmp_path}/") for c in walk([tmp_path])]
    assert found == ["a.txt", "b/1.txt", "b/2.txt", "b/c/3.txt"]
    assert all(c.problem is None for c in walk([tmp_path]))


def test_a_path_given_twice_is_met_once(tmp_path):
    (tmp_path / "a").write_text("x")
    assert len(list(walk([tmp_path / "a", tmp_path / "a"]))) == 1


def test_members_of_a_zip_are_delivered_one_at_a_time_and_removed(tmp_path):
    room = tmp_path / "room"
    room.mkdir()
    archive = _zip(tmp_path / "a.zip", {"inner/y.stm": b"yy", "inner/x.stm": b"xx"})
    seen = []
    for candidate in walk([archive], workspace=room):
        seen.append((candidate.name, candidate.delivered, candidate.path.read_bytes()))
        assert sum(p.is_file() for p in room.rglob("*")) == 1
    assert seen == [
        (f"{archive}!inner/x.stm", "x.stm", b"xx"),
        (f"{archive}!inner/y.stm", "y.stm", b"yy"),
    ]
    assert list(room.iterdir()) == []


@pytest.mark.parametrize("how", ["close", "forget"])
def test_nothing_is_left_when_the_consumer_stops_early(tmp_path, how):
    room = tmp_path / "room"
    room.mkdir()
    walker = walk([_zip(tmp_path / "a.zip", {"x": b"xx", "y": b"yy"})], workspace=room)
    assert next(walker).path.exists()
    if how == "close":
        walker.close()
    del walker
    assert list(room.iterdir()) == []


def test_a_consumer_that_fails_leaves_nothing(tmp_path):
    room = tmp_path / "room"
    room.mkdir()
    archive = _zip(tmp_path / "a.zip", {"x": b"xx"})

    def consume() -> None:
        for _ in walk([archive], workspace=room):
            raise RuntimeError("consumer")

    with pytest.raises(RuntimeError, match="consumer"):
        consume()
    assert list(room.iterdir()) == []


def test_side_files_are_passed_over_and_each_has_a_reason(tmp_path):
    for name in (".DS_Store", "a.tif.aux.xml", "Readme.txt", "Metadata.xml",
                 "N_N_S_static_variables.csv", "ISMN_qualityflags_description.txt"):  # fmt: skip
        (tmp_path / name).write_text("x")
    for folder in ("__MACOSX", "python_metadata", ".hidden"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "data.csv").write_text("x")
    _zip(
        tmp_path / "z.zip", {"__MACOSX/._x.stm": b"x", "net/Metadata.xml": b"x", "net/x.stm": b"x"}
    )
    assert [c.delivered for c in walk([tmp_path])] == ["x.stm"]
    assert side_file("data.csv") is None
    assert all(reason for _, reason in SIDE_FILES)


def test_a_side_file_that_is_asked_for_by_name_is_delivered(tmp_path):
    (tmp_path / ".data.csv").write_text("x")
    assert [c.problem for c in walk([tmp_path / ".data.csv"])] == [None]


def test_obstacles_are_named(tmp_path):
    (tmp_path / "empty.nc").write_bytes(b"")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 and then nothing")
    (tmp_path / "named.zip").write_bytes(b"not a zip at all")
    (tmp_path / "nothing").symlink_to(tmp_path / "gone")
    os.mkfifo(tmp_path / "pipe")
    problems = {
        name.rpartition("/")[2]: p for name, p in _problems(tmp_path, tmp_path / "none").items()
    }
    assert problems["none"] == "there is no such file or folder"
    assert problems["empty.nc"] == "is empty"
    assert "broken or truncated zip" in problems["broken.zip"]
    assert "broken or truncated zip" in problems["named.zip"]
    assert problems["nothing"] == "is a link to nothing"
    assert "not a regular file" in problems["pipe"]
    assert len(problems) == 6


def test_links_inside_the_folder_are_followed_and_links_out_are_not(tmp_path):
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (folder / "sub" / "a").write_text("x")
    (folder / "inside").symlink_to(folder / "sub" / "a")
    (folder / "again").symlink_to(folder / "sub")
    (folder / "loop").symlink_to(folder)
    (folder / "out").symlink_to(tmp_path / "secret")
    found = {c.name.removeprefix(f"{folder}/"): c.problem for c in walk([folder])}
    assert found.keys() == {"inside", "out", "sub/a"}
    assert "leaves the folder" in found["out"]
    assert found["inside"] is found["sub/a"] is None


def test_the_folder_itself_may_be_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    assert [c.problem for c in walk([tmp_path / "link"])] == [None]


def test_a_folder_or_file_without_permission_is_named_and_the_rest_goes_on(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "a").write_text("x")
    (tmp_path / "open").write_text("x")
    (tmp_path / "shut").write_text("x")
    scandir, path_open = os.scandir, Path.open

    def refuse_folder(path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    def refuse_file(self, *args, **kwargs):
        if self.name == "shut":
            raise PermissionError(13, "Permission denied")
        return path_open(self, *args, **kwargs)

    # root may read everything, so that modes alone would test nothing here
    monkeypatch.setattr(files.os, "scandir", refuse_folder)
    monkeypatch.setattr(Path, "open", refuse_file)
    found = {Path(c.name).name: c.problem for c in walk([tmp_path])}
    assert "no permission" in found["closed"]
    assert "no permission" in found["shut"]
    assert found["open"] is None


def test_members_that_would_leave_the_zip_are_not_unpacked(tmp_path):
    archive = _zip(
        tmp_path / "a.zip",
        {
            "../x": b"1",
            "a/../../x": b"1",
            "/etc/x": b"1",
            "C:/x": b"1",
            "a\\..\\x": b"1",
            "good": b"1",
        },
    )
    found = {c.name.partition("!")[2]: c.problem for c in walk([archive])}
    assert found.pop("good") is None
    assert len(found) == 5
    assert all("name" in problem and "not unpacked" in problem for problem in found.values())


def test_members_that_are_links_zips_empty_or_damaged_are_named(tmp_path):
    inner = _zip(tmp_path / "inner.zip", {"x": b"x"}).read_bytes()
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("nested.zip", inner)
        archive.writestr("nested.bin", inner)
        archive.writestr("empty", b"")
        archive.writestr("damaged", b"DAMAGE ME" * 20)
    path.write_bytes(path.read_bytes().replace(b"DAMAGE ME", b"damaged!!", 1))
    found = {c.name.partition("!")[2]: c.problem for c in walk([path])}
    assert "not a regular file" in found["link"]
    assert "zip inside a zip" in found["nested.zip"]
    assert "zip inside a zip" in found["nested.bin"]
    assert found["empty"] == "is empty"
    assert "damaged inside its zip" in found["damaged"]


def test_an_absurd_expansion_is_refused_before_unpacking(tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "_EXPANSION", 1 << 20)
    (problem,) = _problems(_zip(tmp_path / "bomb.zip", {"x": b"\0" * (2 << 20)})).values()
    assert "more than 200 times its size" in problem
    assert not _problems(_zip(tmp_path / "fine.zip", {"x": os.urandom(2 << 20)}))


def test_an_encrypted_member_and_an_empty_zip_are_named(tmp_path):
    path = _zip(tmp_path / "a.zip", {"x": b"xx"})
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1  # the flag of the central directory
    path.write_bytes(raw)
    assert "encrypted" in next(iter(_problems(path).values()))
    assert "without a file" in next(iter(_problems(_zip(tmp_path / "b.zip", {})).values()))


def test_companions_named_beside_their_main_file_are_no_files_of_their_own(tmp_path):
    names = ["a.SHP", "a.shx", "A.dbf", "b.dbf", "hwsd.bil", "hwsd.hdr", "HWSD_DATA.csv"]
    paths = [tmp_path / name for name in names]
    for path in paths:
        path.write_text(path.name)
    for given in ([tmp_path], paths):
        found = {c.delivered: [p.name for p in c.companions] for c in walk(given)}
        assert found == {
            "a.SHP": ["A.dbf", "a.shx"],
            "b.dbf": [],
            "hwsd.bil": ["HWSD_DATA.csv", "hwsd.hdr"],
        }
    assert [p.name for p in next(walk([tmp_path / "a.SHP"])).companions] == ["A.dbf", "a.shx"]


def test_a_folder_is_grouped_without_regard_to_case():
    names = ["A.SHX", "a.dbf", "a.shp", "B.shp", "b.SHX", "c.prj"]
    assert grouped(reversed(names)) == {
        "B.shp": ["b.SHX"],
        "a.shp": ["A.SHX", "a.dbf"],
        "c.prj": [],
    }
