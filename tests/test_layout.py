"""Who may import whom: the direction of the arrows in docs/architecture.md, held."""

import ast
from pathlib import Path

import pytest

from services.data_dir import DataDir

ROOT = Path(__file__).resolve().parent.parent
ENTRIES = ("app", "asgi", "worker")

MAY_IMPORT: dict[str, set[str]] = {
    "settings": set(),
    "audit": set(),
    "background": set(),
    "names": set(),
    "starting": set(),
    "jobs": set(),
    "toolkit": set(),
    "files": set(),
    "accounts": {"files"},
    "language": set(),
    "tools": {"toolkit", "language"},
    "agents": {"toolkit"},
    "models": {"jobs", "toolkit", "files", "language"},
    "services": {"settings", "jobs", "files", "accounts"},
    "services/logs": {"settings", "toolkit"},
    "services/web": {"settings", "jobs", "files", "accounts", "toolkit"},
    "services/worker": {"settings", "jobs", "files", "toolkit", "models"},
    "handlers": {"services", "jobs", "toolkit", "accounts"},
    "api": {"services", "jobs", "toolkit", "accounts"},
    "front": {"services", "settings", "handlers", "api", "accounts"},
    **{entry: {"services", "settings", "front", "api"} for entry in ENTRIES},
}
"""Beside itself and the leaves. Nobody imports an entry; handlers and api are strangers; web knows neither models nor
tools."""

ONLY_IN: dict[str, tuple[str, ...]] = {
    "chainlit": ("handlers", *ENTRIES),
    "fastapi": ("api", *ENTRIES),
    "sse_starlette": ("api", *ENTRIES),
    "psycopg": ("jobs/postgres",),
    "langchain_core": ("models", "toolkit/langchain", "toolkit/langgraph"),
    "langgraph": ("toolkit/langgraph",),
    "langchain_openai": ("models",),
}
"""A library that can be replaced by changing one place."""

LEAVES = {"audit", "background", "names", "starting"}
"""Everybody may import these."""

OURS = {name.partition("/")[0] for name in MAY_IMPORT}


def modules() -> list[Path]:
    return [
        module
        for name in sorted(OURS)
        for module in [ROOT / f"{name}.py", *sorted((ROOT / name).rglob("*.py"))]
        if module.exists()
    ]


def imports(module: Path) -> set[str]:
    """Dotted names of all that the module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def place(module: Path) -> str:
    """The module's dotted place as a path without suffix: `jobs/store`, `settings`."""
    return module.relative_to(ROOT).with_suffix("").as_posix()


def is_in(where: str, places: tuple[str, ...]) -> bool:
    return any(where == one or where.startswith(f"{one}/") for one in places)


@pytest.mark.parametrize("module", modules(), ids=place)
def test_a_module_imports_only_what_its_place_allows(module: Path) -> None:
    where = place(module)
    package = where.partition("/")[0]
    allowed = MAY_IMPORT.get(where, MAY_IMPORT.get(package, set())) | LEAVES | {package}
    roots = {name.partition(".")[0] for name in imports(module)}
    assert roots & OURS <= allowed, f"{where} must not know {sorted(roots & OURS - allowed)}: see docs/architecture.md"


@pytest.mark.parametrize("module", modules(), ids=place)
def test_a_replaceable_library_is_imported_in_its_one_place(module: Path) -> None:
    where = place(module)
    for library in {name.partition(".")[0] for name in imports(module)} & set(ONLY_IN):
        assert is_in(where, ONLY_IN[library]), f"{library} belongs into {ONLY_IN[library]}, not into {where}"


BACK_END_CLASSES = {
    "SqliteStore",
    "PostgresStore",
    "PostgresWake",
    "LocalDispatcher",
    "LocalLiveness",
    "DatagramWake",
    "DirectoryFileStore",
}
FRONT_ENDS = {"api", "handlers"}
BEHIND = ("store", "sql", "sqlite", "postgres", "local", "dispatch", "wake", "worker", "tail")
BEHIND_THE_CLIENT = tuple(f"jobs/{name}" for name in BEHIND)
IN_DATA_DIR = {getattr(DataDir(Path()), name).name for name, one in vars(DataDir).items() if isinstance(one, property)}


def outside(*packages: str) -> list[Path]:
    """The modules beside those in these packages."""
    return [module for module in modules() if not is_in(place(module), packages)]


@pytest.mark.parametrize("module", outside("jobs", "files", "services/backend"), ids=place)
def test_a_back_end_is_opened_in_one_place(module: Path) -> None:
    named = {node.id for node in ast.walk(ast.parse(module.read_text())) if isinstance(node, ast.Name)}
    assert not named & BACK_END_CLASSES, f"{place(module)} opens {named & BACK_END_CLASSES}: ask services/backend.py"


@pytest.mark.parametrize("module", outside(*OURS - FRONT_ENDS), ids=place)
def test_a_front_end_reaches_jobs_through_their_client(module: Path) -> None:
    known = {name for name in imports(module) if is_in(name.replace(".", "/"), BEHIND_THE_CLIENT)}
    assert not known, f"{place(module)} goes around JobClient: {known}"


@pytest.mark.parametrize("module", outside("tools", "toolkit", "models", "files", "services/data_dir"), ids=place)
def test_a_path_in_the_data_dir_is_named_once(module: Path) -> None:
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div) and isinstance(node.right, ast.Constant):
            assert node.right.value not in IN_DATA_DIR, f"{place(module)}: ask services/data_dir.py"


@pytest.mark.parametrize("module", modules(), ids=place)
def test_only_settings_reads_the_environment(module: Path) -> None:
    if place(module) == "settings":
        return
    for node in ast.walk(ast.parse(module.read_text())):
        reads = isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}
        assert not reads, f"{place(module)} line {getattr(node, 'lineno', 0)}: ask settings.py"
