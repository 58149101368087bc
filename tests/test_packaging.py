"""What holds of the project as a package: layout, imports, the wheel."""

from __future__ import annotations

import ast
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def test_kernels_is_no_package() -> None:
    assert not (ROOT / "kernels" / "__init__.py").exists()


def test_kernels_import_nothing_of_imine() -> None:
    for path in (ROOT / "kernels").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {n.split(".")[0] for n in names} & {"imine", "polars", "torch", "transformers"}, path


def test_kernels_call_helpers_and_never_each_other() -> None:
    """What is kept in the disk cache can be called from Python alone."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "kernels" / "imine_kernels").glob("*.py")]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    kernels = {f.name for f in functions if any(getattr(d, "id", "") == "kernel" for d in f.decorator_list)}
    assert len(kernels) > 15
    for function in functions:
        called = {n.func.id for n in ast.walk(function) if isinstance(n, ast.Call) and hasattr(n.func, "id")}
        assert not called & kernels, function.name


@pytest.mark.parametrize("code", ["import imine; imine.__all__", "import imine._cli"])
def test_import_loads_nothing_heavy(code: str) -> None:
    heavy = "numba", "torch", "transformers", "deepspeed", "scipy.stats"
    check = f"{code}\nimport sys\nprint([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


def test_the_wheel_alone_imports_both_packages(tmp_path: Path) -> None:
    pytest.importorskip("build")
    command = [sys.executable, "-m", "build", "--wheel", "--outdir", str(tmp_path), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    shipped = [
        f"imine/rules/smollm2_135m/{file}"
        for file in ("rule.json", "runs.parquet", "reference.npz", "study.toml")
    ]
    assert {
        "imine/py.typed",
        "imine/sample/instructions.jsonl",
        "imine_kernels/words.py",
        *shipped,
    } <= names
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import imine, imine_kernels\nprint(imine.__file__); print(imine_kernels.__file__)\n"
        "from imine.sample import load_sample\nprint(imine.score(load_sample(), ['mtld']).frame['mtld'].count())"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    first, second, count = done.stdout.splitlines()
    assert Path(first).is_relative_to(tmp_path)
    assert Path(second).is_relative_to(tmp_path)
    assert int(count) > 200
