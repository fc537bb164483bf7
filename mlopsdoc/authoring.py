"""What checks and facts are written with: @check, the kinds of finding, Fact, and the two ways of not knowing.

(Not named check.py: importing it would put a module where ``from mlopsdoc import check`` finds the decorator.)
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Annotated, Any, Generic, ParamSpec, TypedDict, TypeVar, cast

from msgspec import Meta, Struct

from mlopsdoc.model import AREAS, Finding, Hurt, Line, Metric, Status, finding, parameter_pattern

if TYPE_CHECKING:
    from typing_extensions import Unpack

P = ParamSpec("P")
T = TypeVar("T")
NEEDS_ROOT = "run as root"
Count = Annotated[int, Meta(ge=0, le=100_000)]


class NothingHere(Exception):
    """There is nothing of this kind on the host, so nothing to judge: the check is skipped."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


class CannotSee(Exception):
    """A sign says that the thing is here, but it could not be seen: the check is unknown.

    `fix` is what the reader can do about it; NEEDS_ROOT where only root may look.
    """

    def __init__(self, why: str, fix: str = "") -> None:
        super().__init__(why)
        self.why = why
        self.fix = fix


class Fact(Struct, frozen=True):
    """A typed value parsed from answers.

    A subclass has ``@classmethod def read(cls, host: Host, ...) -> Self``, where the rest are facts that it
    needs, given by annotation. It raises NothingHere or CannotSee.
    """


class Hardware(Fact, frozen=True, forbid_unknown_fields=True):
    """What the host should have, as its profile says; None or empty where it says nothing. Nobody reads it anywhere.

    gpus, sockets, numa_nodes, supplies: how many. gpu_pci_id: of each GPU, as in ``10de:2330``. nvlinks: of each
    GPU. supply_w: what one power supply is rated for, W. feeds: how many circuits the supplies hang on, evenly.
    driver, gpu_vbios: their versions, or how these begin (``580``, ``580.95``).
    """

    gpus: Count | None = None
    gpu_model: str = ""
    gpu_pci_id: str = ""
    nvlinks: Count | None = None
    sockets: Count | None = None
    numa_nodes: Count | None = None
    supplies: Count | None = None
    supply_w: Count | None = None
    feeds: Count | None = None
    driver: str = ""
    gpu_vbios: str = ""


class Before(Generic[T]):
    """A fact as it was at an earlier moment of the same boot, read when it is first looked at. `fact` is None, and
    `seconds` 0, where no such moment is known."""

    def __init__(self, read: Callable[[], tuple[T | None, float]]) -> None:
        self._read = read
        self._known: tuple[T | None, float] | None = None

    def _look(self) -> tuple[T | None, float]:
        if self._known is None:
            self._known = self._read()
        return self._known

    @property
    def fact(self) -> T | None:
        return self._look()[0]

    @property
    def seconds(self) -> float:
        return self._look()[1]

    def seconds_to(self, at: float) -> float:
        """Until a fact that was read then, by the clock of the answers where both tell it; 0 where there is none."""
        then: float = getattr(self.fact, "at", 0.0)
        return at - then if at and then else self.seconds


class Want:
    """What a parameter asks for: a fact; as it was before; or a fact that may be missing (None)."""

    def __init__(self, fact: type[Fact], *, before: bool = False, optional: bool = False) -> None:
        self.fact = fact
        self.before = before
        self.optional = optional


class Check(Generic[P]):
    """A judgement: a pure function of facts, and what it declares about itself."""

    def __init__(
        self,
        function: Callable[P, Iterable[Finding]],
        *,
        area: str,
        title: str,
        params: tuple[str, ...],
        explains: tuple[str, ...],
        explained_by: tuple[str, ...],
        formerly: tuple[str, ...],
    ) -> None:
        raw = cast(types.FunctionType, function)
        self.function = function
        self.id = raw.__name__
        self.area = area
        self.title = title
        self.doc = (raw.__doc__ or "").strip()
        self.params = params
        self.explains = explains
        self.explained_by = explained_by
        self.formerly = formerly
        self.wants = wants_of(raw)
        self.thresholds: dict[str, Any] = dict(raw.__kwdefaults__ or {})
        self.path = raw.__code__.co_filename
        self.runbook = ""
        if area not in AREAS:
            raise ValueError(f"area {area!r} is none of {', '.join(AREAS)}")
        if unknown := [name for name in params if parameter_pattern(name) is None]:
            raise ValueError(f"no such parameter name: {', '.join(unknown)}")

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Iterator[Finding]:
        return iter(self.function(*args, **kwargs))


def check(
    *,
    area: str,
    title: str,
    params: tuple[str, ...] = (),
    explains: tuple[str, ...] = (),
    explained_by: tuple[str, ...] = (),
    formerly: tuple[str, ...] = (),
) -> Callable[[Callable[P, Iterable[Finding]]], Check[P]]:
    """Make a function a check. Its name is its id, and the stem of its file and of its runbook.

    title: the healthy case, as a sentence. params: the runbook parameters its findings supply. explains: the
    checks whose findings on the same subject this one is the cause of (which of them: causes.py). explained_by: the
    same said by the effect, of any subject that it covers. formerly: ids that it had. Its positional parameters are
    facts, its keyword-only parameters are thresholds that a profile may set.
    """

    def declare(function: Callable[P, Iterable[Finding]]) -> Check[P]:
        return Check(
            function,
            area=area,
            title=title,
            params=params,
            explains=explains,
            explained_by=explained_by,
            formerly=formerly,
        )

    return declare


@cache
def wants_of(function: types.FunctionType) -> dict[str, Want]:
    """The facts that a function asks for, by parameter, from its annotations; a parameter `host` is no fact.

    Raises TypeError for an annotation that is none. (Neither inspect nor get_type_hints: they cost more than
    all checks together.)
    """
    code = function.__code__
    first = 1 if code.co_varnames[:1] == ("cls",) else 0
    wants: dict[str, Want] = {}
    for name in code.co_varnames[first : code.co_argcount]:
        annotation = function.__annotations__.get(name)
        if isinstance(annotation, str):
            annotation = eval(annotation, function.__globals__)
        if name == "host":
            continue
        wants[name] = _want(annotation, f"{function.__qualname__}({name})")
    return wants


def _want(annotation: Any, where: str) -> Want:
    args: tuple[Any, ...] = getattr(annotation, "__args__", ())
    if getattr(annotation, "__origin__", None) is Before:
        return Want(args[0], before=True)
    if isinstance(annotation, types.UnionType):
        facts = [arg for arg in args if arg is not type(None)]
        if len(facts) == 1 and len(args) == 2:
            return Want(facts[0], optional=True)
    if isinstance(annotation, type) and issubclass(annotation, Fact):
        return Want(annotation)
    raise TypeError(f"{where} wants a fact, Before[fact] or fact | None, not {annotation!r}")


class About(TypedDict, total=False):
    """What a finding may say besides its summary: see model.finding."""

    subject: str
    code: str
    advice: str
    since: str
    hurts: Sequence[Hurt]
    covers: Sequence[str]
    params: Mapping[str, str]
    metrics: Mapping[str, Metric | None]
    evidence: Sequence[Line | None]


def ok(summary: str, **about: Unpack[About]) -> Finding:
    """Nothing is wrong, but this is worth a note."""
    return finding(Status.OK, summary, **about)


def unknown(summary: str, **about: Unpack[About]) -> Finding:
    """This part could not be seen: which, and why."""
    return finding(Status.UNKNOWN, summary, **about)


def warning(summary: str, **about: Unpack[About]) -> Finding:
    """Wrong, and work goes on: look at it in the morning."""
    return finding(Status.WARNING, summary, **about)


def critical(summary: str, **about: Unpack[About]) -> Finding:
    """Wrong, and work or data suffer or are unprotected now."""
    return finding(Status.CRITICAL, summary, **about)
