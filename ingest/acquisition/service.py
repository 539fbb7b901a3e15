"""Acquiring: what is lacking of some sources is searched, fetched, verified and laid down for ingesting."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from ingest.acquisition import climate, earthdata
from ingest.acquisition.download import INCOMPLETE, Downloader
from ingest.acquisition.faults import (
    AcquisitionError,
    DeniedError,
    DiskFullError,
    StoppedError,
    UnauthorisedError,
)
from ingest.acquisition.hosts import COPERNICUS, EARTHDATA, Endpoints, Hosts
from ingest.acquisition.offers import EarthdataOffer, Offer, offer_of
from ingest.acquisition.patience import Pace
from ingest.acquisition.values import (
    AcquireReport,
    FileReport,
    Held,
    Outcome,
    Remote,
    Request,
)
from smcatalog.core.errors import SmcatalogError, UsageError

__all__ = ["WORKERS", "Places", "acquire"]

WORKERS: Final = 4
"""Files fetched at a time: what providers are glad to serve to one user."""

_MARGIN: Final = 256 << 20
_SHARE: Final = 0.05
_GB: Final = 1e9


@dataclass(frozen=True, slots=True)
class Places:
    """Where the providers are.

    Parameters
    ----------
    earthdata : Endpoints
        NASA's.
    copernicus : Hosts
        Where results of the Climate Data Store are handed out.
    """

    earthdata: Endpoints = EARTHDATA
    copernicus: Hosts = COPERNICUS


def acquire(
    requests: Sequence[Request],
    held: Callable[[Request], Held],
    folder_of: Callable[[str], Path],
    *,
    workers: int = WORKERS,
    dry_run: bool = False,
    tell: Callable[[int, int], None] = lambda _done, _all: None,
    places: Places | None = None,
    pace: Pace | None = None,
) -> AcquireReport:
    """Fetch what is lacking.

    Parameters
    ----------
    requests : sequence of Request
        One a source.
    held : callable
        What the database has of a request.
    folder_of : callable
        Target folder of a source.
    workers : int
        Most files that are fetched at a time.
    dry_run : bool
        Only say what would be fetched; needs no account.
    tell : callable, optional
        Called with the numbers of files done and wanted, as they come.
    places, pace : optional
        Where the providers are, and how patiently they are asked.

    Returns
    -------
    AcquireReport
        One entry a file; what could not be had is there with its reason.

    Raises
    ------
    UsageError, NotFoundError
        When a request cannot be right.
    DiskFullError
        When there is no room, before anything is fetched.
    AcquisitionError
        When another run fills the same folder.
    """
    offers = {request.source: offer_of(request.source) for request in requests}
    for request in requests:
        _check(request, offers[request.source])
    run = _Run(places or Places(), pace or Pace())
    with ExitStack() as stack:
        if not dry_run:
            for source in offers:
                stack.enter_context(_alone(folder_of(source)))
        planned = [run.plan(offers[r.source], r, held(r), folder_of(r.source)) for r in requests]
        wanted = [remote for remotes, _ in planned for remote in remotes]
        reports = [report for _, known in planned for report in known]
        _check_room(wanted, folder_of)
        if dry_run:
            reports += [FileReport(r.source, r.name, Outcome.WANTED, r.bytes) for r in wanted]
        elif wanted:
            stack.callback(run.close)
            reports += run.fetch(wanted, offers, folder_of, workers, tell)
    outcomes = {Outcome.FETCHED, Outcome.THERE}
    sources = dict.fromkeys(r.source for r in reports if r.outcome in outcomes)
    return AcquireReport(tuple(reports), tuple(folder_of(source) for source in sources))


def _check(request: Request, offer: Offer) -> None:
    if not offer.static and (request.first is None or request.last is None):
        raise UsageError(f"{request.source} has dates: say --from and --to")
    if not offer.globe and request.bbox is None:
        raise UsageError(
            f"{request.source} comes in pieces of the Earth: say which --region W,S,E,N"
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder."""
    room = folder / INCOMPLETE
    try:
        room.mkdir(parents=True, exist_ok=True)
        handle = os.open(room / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise AcquisitionError(f"{folder} cannot be written to: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise AcquisitionError(f"another run is filling {folder}: let it end first") from None
    finally:
        os.close(handle)


def _check_room(wanted: Iterable[Remote], folder_of: Callable[[str], Path]) -> None:
    """Refuse to begin what has no room; of what is half here only the rest counts."""
    lacking: dict[int, int] = {}
    where: dict[int, Path] = {}
    for remote in wanted:
        folder = folder_of(remote.source)
        there = _existing(folder)
        part = folder / INCOMPLETE / f"{remote.name}.part"
        had = part.stat().st_size if part.is_file() else 0
        device = there.stat().st_dev
        lacking[device] = lacking.get(device, 0) + max(0, remote.bytes - had)
        where[device] = there
    for device, lack in lacking.items():
        free = shutil.disk_usage(where[device]).free
        kept = _MARGIN + int(_SHARE * lack)
        if lack and lack + kept > free:
            raise DiskFullError(
                f"{lack / _GB:.2f} GB are to be fetched and {where[device]} has {free / _GB:.2f} GB free, of "
                f"which {kept / _GB:.2f} are kept: make room, ask for fewer days, or name another --to-folder"
            )


def _existing(folder: Path) -> Path:
    return next(p for p in (folder.absolute(), *folder.absolute().parents) if p.exists())


@dataclass
class _Run:
    """One run: both providers, and who of them refused what."""

    places: Places
    pace: Pace
    denied: dict[str, str] = field(default_factory=dict)
    downloaders: dict[str, Downloader] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.earthdata = earthdata.Earthdata(self.places.earthdata, self.pace)
        self.climate = climate.Climate(self.pace, self.places.copernicus)
        self._lock = threading.Lock()

    def close(self) -> None:
        for downloader in self.downloaders.values():
            downloader.close()
        self.climate.close()

    def plan(
        self, offer: Offer, request: Request, held: Held, folder: Path
    ) -> tuple[list[Remote], list[FileReport]]:
        """Say what is to be fetched and what is here; a search that fails fails its source alone."""
        held = replace(held, files=_files(folder))
        if not isinstance(offer, EarthdataOffer):
            return climate.orders(offer, request, held)
        try:
            found = self.earthdata.search(offer, request)
        except StoppedError:
            raise
        except AcquisitionError as error:
            return [], [FileReport(request.source, "", Outcome.FAILED, 0, str(error))]
        return earthdata.lacking(offer, found, held)

    def fetch(
        self,
        wanted: Sequence[Remote],
        offers: Mapping[str, Offer],
        folder_of: Callable[[str], Path],
        workers: int,
        tell: Callable[[int, int], None],
    ) -> list[FileReport]:
        """Fetch files, some at a time; the reports are in the order of the files."""
        self._open(offers[remote.source] for remote in wanted)
        tell(0, len(wanted))
        with ThreadPoolExecutor(workers, thread_name_prefix="acquire") as pool:
            tasks = [
                pool.submit(self._one, remote, offers[remote.source], folder_of(remote.source))
                for remote in wanted
            ]
            try:
                for done, _ in enumerate(_completed(tasks), 1):
                    tell(done, len(wanted))
            except BaseException:
                self.pace.stop()  # what is under way stops at its next piece
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return [task.result() for task in tasks]

    def _open(self, offers: Iterable[Offer]) -> None:
        """Log in where something is to be fetched from; who is not let in is asked for nothing."""
        for offer in offers:
            provider = _provider(offer)
            if provider in self.downloaders or provider in self.denied:
                continue
            try:
                self.downloaders[provider] = self._downloader(provider)
            except StoppedError:
                raise
            except AcquisitionError as error:
                self.denied[provider] = str(error)

    def _downloader(self, provider: str) -> Downloader:
        if provider == _NASA:
            self.earthdata.open()
            hosts, keys = self.places.earthdata.hosts, self.earthdata.keys
            return Downloader(hosts, keys, self._renew, self.pace, self._licence)
        self.climate.open()
        return Downloader(self.climate.hosts, None, lambda: None, self.pace, self._licence)

    def _renew(self) -> None:
        with self._lock:
            self.earthdata.open()

    def _licence(self, source: str) -> str:
        offer = offer_of(source)
        own = offer.licence if isinstance(offer, EarthdataOffer) else ""
        login = self.places.earthdata.login
        return own or f"accept it at https://{login}, under EULAs and Applications of your profile"

    def _one(self, remote: Remote, offer: Offer, folder: Path) -> FileReport:
        """Fetch a file and report; what was refused to us once is not asked for again."""
        provider = _provider(offer)
        try:
            self.pace.check()
            for scope in (provider, remote.source):
                if scope in self.denied:
                    raise AcquisitionError(self.denied[scope])
            size, name = self._fetched(self.downloaders[provider], remote, folder)
        except StoppedError:
            raise
        except UnauthorisedError as error:
            told = provider != _NASA or earthdata.HELP in str(error)
            text = str(error) if told else f"{error}. {earthdata.HELP}"
            reason = self.denied.setdefault(provider, text)
        except DeniedError as error:
            reason = self.denied.setdefault(remote.source, str(error))
        except SmcatalogError as error:
            reason = str(error)
        except OSError as error:
            reason = f"cannot be kept in {folder}: {error.strerror}"
        else:
            return FileReport(remote.source, name, Outcome.FETCHED, size)
        return FileReport(remote.source, remote.name, Outcome.FAILED, 0, reason)

    def _fetched(self, downloader: Downloader, remote: Remote, folder: Path) -> tuple[int, str]:
        if remote.order is None:
            return downloader.fetch(remote, folder), remote.name
        room = folder / INCOMPLETE
        made = self.climate.locate(remote, room)
        _check_room([made], lambda _source: folder)
        try:
            size = downloader.fetch(made, folder)
        except (StoppedError, DiskFullError):
            raise  # the next run fetches what this order made
        except AcquisitionError:
            if not (room / f"{made.name}.part").exists():
                self.climate.forget(remote, room)
            raise
        self.climate.forget(remote, room)
        return size, made.name


_NASA, _COPERNICUS = "earthdata", "copernicus"


def _provider(offer: Offer) -> str:
    return _NASA if isinstance(offer, EarthdataOffer) else _COPERNICUS


def _files(folder: Path) -> dict[str, int]:
    """Return the files of a folder and their lengths."""
    try:
        with os.scandir(folder) as entries:
            return {e.name: e.stat().st_size for e in entries if e.is_file()}
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise AcquisitionError(f"{folder} cannot be read: {error.strerror}") from error


def _completed(tasks: Sequence[Future[FileReport]]) -> Iterator[FileReport]:
    """Yield results as they come; looked for often, so that an interruption is seen."""
    left = set(tasks)
    while left:
        done, left = wait(left, timeout=1.0, return_when=FIRST_COMPLETED)
        for task in done:
            yield task.result()
