"""Every kind of bad file: refused with a reason that is true, nothing half read, never another fault."""

from __future__ import annotations

import faulthandler
import os
import re
import shutil
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from affine import Affine

from ingest import zips
from ingest.candidate import Candidate
from ingest.files import walk
from ingest.granules import examine, read
from ingest.reader import Yield
from ingest.sniff import Format
from smcatalog.core.errors import RefusedInput
from smcatalog.core.raster import Raster
from smcatalog.core.stations import StationSeries
from tests.factories import granules as make
from tests.factories import modis, smap
from tests.factories.corruption_kinds import CASES, KINDS, NOT_A_GRANULE
from tests.factories.corruptions import Case, accompanied, contents, eos, every, form, valid
from tests.factories.granules import SAMPLES, Sample
from tests.factories.permissions import bound_by_permissions
from tests.factories.rewriting import BAND, Attributes, rewrite

PATIENCE = 60.0
"""Seconds that a file may take before it counts as hanging; all take less than two."""
CHEAP = [sample for sample in SAMPLES if every(sample)]
ALPHABETS = [
    "данные о влажности",
    "土壌水分 土壤水分",
    "ดินชื้น",
    "رطوبة التربة",
    "Bodenfeuchte für Österreich",
    "𓂀 🛰️",
]


@pytest.fixture(autouse=True)
def _no_hang() -> Iterator[None]:
    """Let a reader that never returns end the run, with a trace, instead of stopping it for ever."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    yield
    faulthandler.cancel_dump_traceback_later()


def met(*paths: Path, workspace: Path | None = None) -> dict[str, list[Yield] | str]:
    """Return what becomes of the files under some paths: values or the reason, by what they are called."""
    found: dict[str, list[Yield] | str] = {}
    for candidate in walk(paths, workspace=workspace):
        try:
            found[candidate.delivered] = list(read(examine(candidate)))
        except RefusedInput as error:
            found[candidate.delivered] = error.reason
    return found


def alike(some: list[Yield], others: list[Yield]) -> bool:
    """Say whether two files gave the same."""
    if [type(one) for one in some] != [type(one) for one in others]:
        return False
    for one, other in zip(some, others, strict=True):
        if isinstance(one, Raster):
            equal = one.grid == other.grid and one.period == other.period
            if not equal or not np.array_equal(one.values, other.values, equal_nan=True):
                return False
            if not np.array_equal(one.quality, other.quality):
                return False
        elif isinstance(one, StationSeries):
            if not np.array_equal(one.values, other.values):
                return False
        elif one != other:
            return False
    return True


# -- the table


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "case" in metafunc.fixturenames:
        short = metafunc.config.getoption("--short")
        metafunc.parametrize("case", _some(CASES) if short else CASES, ids=str)


def _some(cases: Sequence[Case]) -> list[Case]:
    """Return a third of the cases, some of every kind, each kind's of other samples."""
    by_kind: dict[str, list[Case]] = {}
    for case in cases:
        by_kind.setdefault(case.kind.name, []).append(case)
    return [
        case
        for number, same in enumerate(by_kind.values())
        for case in same[number % min(3, len(same)) :: 3]
    ]


def test_the_short_form_has_every_kind_and_every_source():
    some = _some(CASES)
    assert {case.kind.name for case in some} == {kind.name for kind in KINDS}
    assert {case.sample.source for case in some} == {case.sample.source for case in CASES}
    assert len(some) > len(CASES) / 4


def test_a_bad_file_is_refused_with_a_true_reason(case: Case, tmp_path):
    path = case.into(tmp_path)
    (answer,) = met(path).values()
    assert isinstance(answer, str), f"{case} was read"
    assert re.search(case.pattern, answer), answer
    assert "\n" not in answer
    assert str(tmp_path) not in answer


def test_the_table_covers_every_reader_and_holds_enough():
    kinds = {source: set() for source in {sample.source for sample in SAMPLES}}
    for case in CASES:
        kinds[case.sample.source].add(case.kind.name)
    few = {source: len(names) for source, names in kinds.items() if len(names) < 10}
    assert few.keys() <= {"SRTMGL1"}  # of the code of SRTMGL3
    assert len({kind.name for kind in KINDS}) == len(KINDS) >= 60
    assert len(CASES) >= 150
    assert {case.kind.name for case in CASES} == {kind.name for kind in KINDS}


def test_the_reasons_tell_kinds_apart():
    vague = ["is refused", "cannot be read", "error", "no such file", "is a directory"]
    for case in CASES:
        assert not any(re.search(case.pattern, words) for words in vague), case
        if case.kind not in NOT_A_GRANULE:
            assert not re.search(case.pattern, "is an HTML page, not a granule"), case


# -- odd, and yet sound: read as well as any other


@pytest.mark.parametrize("sample", CHEAP, ids=str)
def test_folders_and_zips_of_any_alphabet_are_read(sample: Sample, tmp_path):
    plain = valid(sample, tmp_path / "plain")
    (wanted,) = met(plain).values()
    for alphabet in ALPHABETS:
        folder = tmp_path / alphabet / alphabet[::-1]
        folder.mkdir(parents=True)
        path = valid(sample, folder)
        archive = tmp_path / f"{alphabet}.zip"
        with zipfile.ZipFile(archive, "w") as out:
            for name in contents(sample):
                out.write(path.with_name(name), f"{alphabet}/{name}")
        if alphabet is ALPHABETS[0]:
            assert alike(met(folder)[sample.name], wanted)
            assert alike(met(archive)[sample.name], wanted)
        else:
            assert alike(met(path)[sample.name], wanted)
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    "sample",
    [
        s
        for s in CHEAP
        if eos(s) or (s.source in {"SPL2SMP", "SPL3SMP", "ERA5"} and "daily" not in s.name)
    ],
    ids=str,
)
@pytest.mark.parametrize("alphabet", ALPHABETS)
def test_what_says_itself_what_it_is_may_be_called_anything(sample, alphabet, tmp_path):
    path = valid(sample, tmp_path)
    (wanted,) = met(path).values()
    moved = path.rename(tmp_path / f"{alphabet}{path.suffix}")
    ((name, values),) = met(moved).items()
    assert name == moved.name
    assert alike(values, wanted)


@pytest.mark.parametrize(
    "sample",
    [CHEAP[0], *(s for s in CHEAP if s.source in {"MOD11A1", "VNP13A2", "CHIRPS", "ISMN"})],
    ids=str,
)
def test_a_name_in_no_encoding_is_shown_legibly_and_read(sample, tmp_path):
    (wanted,) = met(valid(sample, tmp_path / "plain")).values()
    folder = tmp_path / os.fsdecode("данные".encode("cp1251"))
    folder.mkdir()
    path = valid(sample, folder)
    ((name, values),) = met(folder).items()
    assert name == sample.name
    assert alike(values, wanted)
    called = os.fsdecode(b"\xff\xfe \x1b[31m\n" + os.fsencode(path.suffix))
    path.rename(path.with_name(called))
    ((name, answer),) = met(folder).items()
    assert name == rf"\xff\xfe \x1b[31m\x0a{path.suffix}"
    if isinstance(answer, str):  # its name alone says what it is
        assert answer.isprintable()
        assert not eos(sample)
    else:
        assert alike(answer, wanted)


def _sloped(values: np.ndarray) -> np.ndarray:
    """Let rows differ, by little of what the values are; the last but one dimension counts rows."""
    rows = np.arange(values.shape[-2])[:, None]
    step = 1 if values.dtype.kind in "iu" else 0.01 * np.abs(values).max()
    return (values + step * rows).astype(values.dtype)


def _north_first(
    name: str, values: np.ndarray, attributes: Attributes
) -> tuple[np.ndarray, Attributes]:
    """Change what follows the latitude only in that its rows differ."""
    return (_sloped(values) if values.ndim >= 2 else values), attributes


def _south_first(
    name: str, values: np.ndarray, attributes: Attributes
) -> tuple[np.ndarray, Attributes]:
    """The same, with the southernmost row first, as the file's own georeference then says."""
    if name == "latitude":
        return values[::-1].copy(), attributes
    if values.ndim < 2:
        return values, attributes
    if name == BAND:
        old: Affine = attributes["transform"]
        south = old.f + old.e * values.shape[-2]
        attributes = attributes | {"transform": Affine(old.a, 0, old.c, 0, -old.e, south)}
    return _sloped(values)[..., ::-1, :].copy(), attributes


@pytest.mark.parametrize(
    "sample", [s for s in CHEAP if form(s) is Format.TIFF or s.source == "ERA5"], ids=str
)
def test_what_runs_upwards_and_says_so_is_turned(sample, tmp_path):
    path = valid(sample, tmp_path)
    if sample.source == "Koeppen-Geiger":
        pytest.skip("classes have no slope")
    rewrite(path, _north_first)
    (wanted,) = met(path).values()
    rewrite(valid(sample, tmp_path), _south_first)
    (values,) = met(path).values()
    assert len(values) == len(wanted)
    assert np.ptp(wanted[0].values) > 0
    for one, other in zip(values, wanted, strict=True):
        np.testing.assert_allclose(one.values, other.values, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(one.grid.bbox(), other.grid.bbox(), atol=1e-9)


@pytest.mark.parametrize(
    "sample", [s for s in CHEAP if s.source in {"ISMN", "station-table"}], ids=str
)
def test_a_text_whose_lines_end_in_another_way_is_the_same(sample, tmp_path):
    path = valid(sample, tmp_path)
    (wanted,) = met(path).values()
    content = path.read_bytes()
    for end in (b"\r\n", b"\r"):
        path.write_bytes(content.replace(b"\n", end))
        assert alike(met(path)[sample.name], wanted)


# -- on the way to a file


@pytest.mark.parametrize("sample", CHEAP, ids=str)
def test_a_folder_called_like_a_granule_is_searched_and_never_read(sample, tmp_path):
    folder = tmp_path / sample.name
    folder.mkdir()
    assert met(tmp_path) == {}
    with pytest.raises(RefusedInput, match=r"(?i)is a directory|not a regular file"):
        examine(make.candidate(folder))
    valid(sample, folder)
    assert isinstance(met(tmp_path)[sample.name], list)


@pytest.mark.parametrize("sample", CHEAP, ids=str)
def test_a_file_that_may_not_be_read_is_refused_with_its_reason(sample, tmp_path):
    path = valid(sample, tmp_path)
    path.chmod(0)
    with bound_by_permissions():
        answer = met(tmp_path)[sample.name]
        with pytest.raises(RefusedInput, match="no permission"):
            list(read(examine(make.candidate(path))))
    assert answer == "cannot be read: no permission; grant it and ingest again"


@pytest.mark.parametrize("sample", CHEAP, ids=str)
def test_links_out_of_the_folder_to_nothing_and_to_themselves_are_refused(sample, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    target = valid(sample, elsewhere)
    folder = tmp_path / "in"
    folder.mkdir()
    for name, leads in (("out", target), ("lost", folder / "gone"), ("loop", folder / "loop")):
        (folder / f"{name}_{sample.name}").symlink_to(leads)
    reasons = {name.partition("_")[0]: reason for name, reason in met(folder).items()}
    assert reasons.keys() == {"out", "lost", "loop"}
    assert "is a link that leaves the folder in" in reasons["out"]
    assert "is a link to nothing" in reasons["lost"]
    assert "link" in reasons["loop"]


@pytest.mark.parametrize("sample", CHEAP, ids=str)
@pytest.mark.parametrize("moment", ["between", "behind", "unseen"])
def test_a_file_that_changes_while_it_is_read_is_refused(sample, moment, tmp_path):
    path = valid(sample, tmp_path)
    (candidate,) = walk([path])
    granule = examine(candidate)
    if moment == "between":
        _grow(path)
        values = read(granule)
    elif moment == "behind":
        values = read(granule)
        next(values)
        _grow(path)
    else:
        values = read(granule)
        next(values)
        state = path.stat()
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(RefusedInput, match="changed while it was read: wait until it is complete"):
        list(values)


@pytest.mark.parametrize("sample", [s for s in CHEAP if accompanied(s)], ids=str)
def test_what_belongs_to_a_file_may_not_change_either(sample, tmp_path):
    (candidate,) = walk([valid(sample, tmp_path)])
    for other in candidate.companions:
        values = read(examine(candidate))
        next(values)
        _grow(other)
        with pytest.raises(RefusedInput, match="changed while it was read"):
            list(values)
        other.write_bytes(contents(sample)[other.name])


def _grow(path: Path) -> None:
    with path.open("ab") as stream:
        stream.write(b"\0")


class _Growing(Candidate):
    """A file to which something is added as soon as its checksum was taken."""

    def sha256(self) -> str:
        found = super().sha256()
        _grow(self.path)
        return found


def test_a_file_that_grows_while_it_is_examined_is_refused(tmp_path):
    path = modis.lst(tmp_path / modis.MOD11A1_NAME)
    with pytest.raises(RefusedInput, match="changed while it was read"):
        examine(_Growing(path, str(path), path.name))


# -- zips


def _zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, content in members.items():
            out.writestr(name, content)
    return path


@pytest.mark.parametrize("name", ["../{}", "a/../../{}", "/etc/{}", "C:\\{}", "..\\{}"])
def test_members_that_would_leave_their_zip_are_refused_and_nothing_is_written_there(
    name, tmp_path
):
    room = tmp_path / "a" / "room"
    room.mkdir(parents=True)
    member = name.format("MOD11A1.A2020001.h18v05.061.2020002081500.hdf")
    good = modis.lst(tmp_path / modis.MOD11A1_NAME).read_bytes()
    archive = _zipped(tmp_path / "a" / "x.zip", {member: good, "good.hdf": good})
    before = sorted(tmp_path.rglob("*"))
    answers = list(met(archive, workspace=room).values())
    assert sum(isinstance(answer, list) for answer in answers) == 1
    (reason,) = (answer for answer in answers if isinstance(answer, str))
    assert re.search(
        r"has (an absolute name inside|a name that leaves) its zip.*not unpacked", reason
    )
    assert sorted(tmp_path.rglob("*")) == before


def test_a_zip_of_absurd_expansion_is_refused_unopened(tmp_path, monkeypatch):
    monkeypatch.setattr(zips, "_EXPANSION", 1 << 20)
    archive = _zipped(tmp_path / "bomb.zip", {f"{i}.hdf": bytes(1 << 20) for i in range(3)})
    (reason,) = met(archive).values()
    assert re.search(r"would expand to .* GB, more than 200 times its size", reason)


@pytest.mark.parametrize("told", [100, 0])
def test_a_zip_that_lies_about_its_sizes_unpacks_no_more_than_it_says(told, tmp_path):
    """Both of its headers say that a member is small, and 4 MB come out."""
    room = tmp_path / "room"
    room.mkdir()
    archive = _zipped(tmp_path / "liar.zip", {"a.hdf": bytes(4 << 20)})
    raw = archive.read_bytes()
    size, lie = (4 << 20).to_bytes(4, "little"), told.to_bytes(4, "little")
    assert raw.count(size) == 2
    archive.write_bytes(raw.replace(size, lie))
    largest = 0
    for candidate in walk([archive], workspace=room):
        largest = max(largest, *(p.stat().st_size for p in room.rglob("*") if p.is_file()), 0)
        assert candidate.problem is not None
        assert re.search("is damaged inside its zip|is empty", candidate.problem)
    assert largest <= 4096
    assert list(room.iterdir()) == []


def test_a_zip_whose_members_lie_over_each_other_is_refused(tmp_path):
    """One compressed piece that many names share: together they expand to much more than the zip."""
    archive = _zipped(tmp_path / "many.zip", {"a.hdf": bytes(1 << 16), "b.hdf": b"small"})
    raw = bytearray(archive.read_bytes())
    with zipfile.ZipFile(archive) as held:
        first, second = held.infolist()
    at = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 1)
    raw[at + 42 : at + 46] = first.header_offset.to_bytes(4, "little")
    archive.write_bytes(raw)
    assert second.header_offset
    reasons = [answer for answer in met(archive).values() if isinstance(answer, str)]
    assert any("is damaged inside its zip" in reason for reason in reasons)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.98])
@pytest.mark.parametrize(
    "sample", [s for s in CHEAP if s.source in {"MOD11A1", "SPL2SMP", "ISMN"}], ids=str
)
def test_a_zip_that_was_cut_off_is_refused_whole(sample, share, tmp_path):
    archive = _zipped(tmp_path / "a.zip", contents(sample))
    archive.write_bytes(archive.read_bytes()[: int(archive.stat().st_size * share)])
    (reason,) = met(archive).values()
    assert "is a broken or truncated zip" in reason


# -- dates that come true


def test_what_is_in_the_future_today_is_read_when_its_day_has_come(tmp_path):
    path = smap.spl3smp(tmp_path / smap.SPL3SMP_NAME)
    with pytest.raises(RefusedInput, match="in the future"):
        examine(make.candidate(path), now=datetime(2019, 12, 31, tzinfo=UTC))
    now = datetime(2020, 1, 3, tzinfo=UTC)
    assert list(read(examine(make.candidate(path), now=now), now=now))


# -- real files


REAL = (
    "modis/MOD11A1.A2021227.h11v05.061.2021228105320.hdf",
    "smap/SMAP_L2_SM_P_02801_A_20150811T013002_R18290_001.h5",
)


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("share", [0.00001, 0.01, 0.3, 0.7, 0.95, 0.9999])
def test_real_granules_cut_off_anywhere_are_refused(name, share, real_data, tmp_path):
    whole = (real_data / name).read_bytes()
    path = tmp_path / Path(name).name
    path.write_bytes(whole[: int(len(whole) * share)])
    (reason,) = met(path).values()
    assert re.search("broken or truncated|no known format", reason), reason


@pytest.mark.parametrize(("name", "new", "reason"), [
    (REAL[0], "MOD11A1.A2021227.h12v05.061.2021228105320.hdf", "its name says tile h12v05, inside it is h11v05"),
    (REAL[0], "MOD11A1.A2021228.h11v05.061.2021228105320.hdf", "its name says MOD11A1 of 2021228, inside it is MOD11A1 of 2021227"),
    (REAL[0], "MYD11A1.A2021227.h11v05.061.2021228105320.hdf", "its name says MYD11A1"),
    (REAL[1], "SMAP_L2_SM_P_02801_D_20150811T013002_R18290_001.h5", "contradicts itself on its direction"),
    (REAL[1], "SMAP_L2_SM_P_02801_A_20150812T013002_R18290_001.h5", "contradicts itself on its beginning"),
])  # fmt: skip
def test_real_granules_under_names_of_others_are_refused(name, new, reason, real_data, tmp_path):
    shutil.copy(real_data / name, tmp_path / new)
    assert reason in met(tmp_path)[new]


@pytest.mark.parametrize("name", REAL)
def test_real_granules_under_a_name_in_another_alphabet_are_read(name, real_data, tmp_path):
    (wanted,) = met(real_data / name).values()
    for alphabet in ALPHABETS:
        path = tmp_path / alphabet
        shutil.copy(real_data / name, path)
        assert alike(met(path)[alphabet], wanted)
