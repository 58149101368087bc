"""Models by name: what is fetched, converted, refused, and what is said of one that is not there."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imine.__main__ import main
from imine.errors import MissingExtraError, ModelError, ModelNotFoundError
from imine.indicators.models import (
    EMBEDDED,
    MODELS,
    convert_model,
    find_spec,
    get_model,
    is_model_name,
    load_causal_lm,
    load_classifier,
    load_seq2seq,
    model_path,
    model_sha256,
    tensors_sha256,
    tokenizer_sha256,
)
from tests.tiny_judges import save_neox_reward, save_t5

torch = pytest.importorskip("torch")
COMMIT = "0123456789" * 4


def copy(source: Path, target: Path) -> Path:
    target.mkdir(parents=True)
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())
    return target


def as_pickle(folder: Path, shards: int = 1) -> Path:
    """The folder with its weights as ``torch.save`` writes them, in so many files."""
    from safetensors.torch import load_file

    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    if shards == 1:
        torch.save(weights, folder / "pytorch_model.bin")
        return folder
    names, where = sorted(weights), {}
    for k in range(shards):
        file = f"pytorch_model-{k + 1:05d}-of-{shards:05d}.bin"
        part = {name: weights[name] for name in names[k::shards]}
        torch.save(part, folder / file)
        where |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 1}, "weight_map": where}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))
    return folder


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Path], list[dict[str, Any]]]:
    """A hub of folders, in place of the downloader; gives the calls that were made to it."""
    from huggingface_hub.utils import filter_repo_objects

    calls: list[dict[str, Any]] = []
    repositories: dict[str, Path] = {}

    def snapshot_download(repo_id: str, *, revision: str, **patterns: Any) -> str:
        calls.append({"repo_id": repo_id, "revision": revision, **patterns})
        source = repositories[repo_id]
        files = [str(path.relative_to(source)) for path in source.rglob("*") if path.is_file()]
        target = tmp_path / "hub" / f"models--{repo_id.replace('/', '--')}" / "snapshots" / COMMIT
        for name in filter_repo_objects(files, **patterns):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((source / name).read_bytes())
        return str(target)

    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)

    def add(repo_id: str, folder: Path) -> list[dict[str, Any]]:
        repositories[repo_id] = folder
        return calls

    return add


def test_every_model_has_its_origin_pinned() -> None:
    assert set(EMBEDDED) == {"smollm2-135m", "all-minilm-l6-v2"}
    for spec in MODELS.values():
        assert find_spec(spec.name) is spec
        assert 7 <= len(spec.revision) <= 40
        assert set(spec.revision) <= set("0123456789abcdef")
        assert spec.megabytes > 0
        assert spec.weights != "pickle" or not spec.package


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_is_not_there_is_named_with_size_source_and_mirrors(name: str, own_cache: Path) -> None:
    with pytest.raises(ModelNotFoundError) as raised:
        model_path(name)
    message, spec = str(raised.value), MODELS[name]
    wanted = [name, spec.size, spec.origin, "imine models ", str(own_cache), "IMINE_CACHE"]
    wanted += (
        ["PIP_INDEX_URL", "PIP_FIND_LINKS"] if spec.package else ["HF_ENDPOINT", "HF_HOME", "HF_HUB_OFFLINE"]
    )
    for part in wanted:
        assert part in message
    assert not own_cache.exists(), "looking for a model makes nothing"


def test_of_a_hub_safetensors_and_texts_are_fetched_once(
    own_cache: Path, tiny_llama: Path, tmp_path: Path, hub: Any
) -> None:
    source = copy(tiny_llama, tmp_path / "source")
    (source / "pytorch_model.bin").write_bytes(b"pickle")
    (source / "modeling_own.py").write_text("raise SystemExit")
    (source / "onnx").mkdir()
    (source / "onnx" / "config.json").write_text("{}")
    calls = hub("owner/tiny", source)
    with pytest.raises(ModelNotFoundError, match="imine models get owner/tiny"):
        model_path("owner/tiny")
    assert not is_model_name("owner/tiny")
    folder = get_model("owner/tiny")
    assert folder == own_cache / "models" / "owner--tiny" == model_path("owner/tiny")
    assert {path.name for path in folder.iterdir()} == {path.name for path in tiny_llama.iterdir()} | {
        "imine.json"
    }
    assert [call["revision"] for call in calls] == ["main"]
    get_model("owner/tiny")
    assert len(calls) == 1, "a second time nothing is fetched"
    about = json.loads((folder / "imine.json").read_text())
    assert about["revision"] == COMMIT
    assert about["sha256"] == tensors_sha256(tiny_llama)
    assert model_sha256(folder) == model_sha256(tiny_llama)
    assert is_model_name("owner/tiny")
    assert load_causal_lm("owner/tiny").model.config.hidden_size == 64
    get_model("owner/tiny@v1.0")
    assert calls[-1]["revision"] == "v1.0"


def test_the_id_of_an_original_stands_for_its_pinned_revision(
    own_cache: Path, tiny_llama: Path, hub: Any
) -> None:
    spec = MODELS["smollm2-135m"]
    calls = hub(spec.origin, tiny_llama)
    get_model(spec.origin)
    assert calls[0]["revision"] == spec.revision


def test_a_folder_of_that_name_goes_before_the_hub(
    own_cache: Path, tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy(tiny_llama, tmp_path / "owner" / "tiny")
    monkeypatch.chdir(tmp_path)
    assert model_path("owner/tiny") == Path("owner/tiny")


def test_a_hub_model_without_safetensors_is_refused_and_leaves_nothing(
    own_cache: Path, tmp_path: Path, hub: Any
) -> None:
    hub("owner/old", as_pickle(save_neox_reward(tmp_path / "source")))
    with pytest.raises(
        ModelNotFoundError, match="no safetensors file; other weight formats can run code"
    ) as raised:
        get_model("owner/old")
    assert "imine models convert owner/old" in str(raised.value)
    assert list((own_cache / "models").iterdir()) == []


def test_a_hub_that_cannot_be_reached_is_said_with_the_variables(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(
        ModelNotFoundError, match=r"(?s)could not fetch owner/tiny at main.*HF_ENDPOINT names a mirror"
    ):
        get_model("owner/tiny")


def test_an_unknown_name_is_refused(own_cache: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"no model 'nothing' by name; there are smollm2-135m, "):
        get_model("nothing")
    with pytest.raises(ModelNotFoundError, match="no model 'a/b/c': give a folder"):
        model_path("a/b/c")


@pytest.mark.parametrize("name", ["oasst-rm-pythia-1.4b", "unieval-dialog"])
def test_originals_that_are_pickles_are_converted_only_when_asked(
    name: str, own_cache: Path, tmp_path: Path, hub: Any
) -> None:
    save = save_t5 if name == "unieval-dialog" else save_neox_reward
    sha = model_sha256(save(tmp_path / "source"))
    spec = MODELS[name]
    calls = hub(spec.origin, as_pickle(tmp_path / "source"))
    with pytest.raises(ModelNotFoundError, match=f"imine models convert {name}"):
        get_model(name)
    assert calls == []
    folder = convert_model(name)
    assert folder == model_path(name) == model_path(spec.origin)
    assert calls[0]["revision"] == spec.revision
    assert not list(folder.glob("*.bin"))
    assert model_sha256(folder) == sha
    about = json.loads((folder / "imine.json").read_text())
    assert about["converted"] == "from a pickle, tensors only"
    loaded = (load_seq2seq if name == "unieval-dialog" else load_classifier)(name)
    assert loaded.sha256 == sha
    convert_model(name)
    assert len(calls) == 1


def test_a_folder_with_a_pickle_is_refused_and_can_be_converted(tmp_path: Path, own_cache: Path) -> None:
    source = save_t5(tmp_path / "source", tied=True)
    sha = tensors_sha256(source)
    as_pickle(source, shards=3)
    with pytest.raises(
        ModelNotFoundError, match="no safetensors file; other weight formats can run code on loading"
    ):
        load_seq2seq(str(source))
    with pytest.raises(ModelError, match="say where the converted model goes"):
        convert_model(str(source))
    made = convert_model(str(source), tmp_path / "made")
    assert sorted(path.name for path in made.glob("model*")) == [
        *(f"model-0000{k}-of-00003.safetensors" for k in (1, 2, 3)), "model.safetensors.index.json"
    ]  # fmt: skip
    assert not list(made.glob("pytorch_model*"))
    assert load_seq2seq(str(made)).model.config.d_model == 32
    assert tensors_sha256(made) != sha, "the hash is by files; the tensors themselves are equal:"
    from safetensors.torch import load_file

    tensors = {k: v for path in made.glob("*.safetensors") for k, v in load_file(path).items()}
    again = {k: v for path in source.glob("*.bin") for k, v in torch.load(path, weights_only=True).items()}
    assert tensors.keys() == again.keys()
    assert all(torch.equal(tensors[name], again[name]) for name in tensors)
    with pytest.raises(ModelError, match="is there already"):
        convert_model(str(source), made)


def test_tied_weights_in_a_pickle_are_converted(tmp_path: Path) -> None:
    source = save_t5(tmp_path / "source", tied=True)
    from safetensors.torch import load_file

    weights = load_file(source / "model.safetensors")
    (source / "model.safetensors").unlink()
    weights["encoder.embed_tokens.weight"] = weights["decoder.embed_tokens.weight"] = weights["shared.weight"]
    torch.save(weights, source / "pytorch_model.bin")
    loaded = load_seq2seq(str(convert_model(str(source), tmp_path / "made")))
    assert torch.equal(loaded.model.shared.weight, weights["shared.weight"])


class Runs:
    """What a pickle can do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("protocol", ["torch", "plain"])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(protocol: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "config.json").write_text("{}")
    state = {"weight": torch.ones(1), "evil": Runs(tmp_path / "it ran")}
    if protocol == "torch":
        torch.save(state, source / "pytorch_model.bin")
    else:
        (source / "pytorch_model.bin").write_bytes(pickle.dumps(state))
    with pytest.raises(ModelError, match=r"pytorch_model\.bin was refused: "):
        convert_model(str(source), tmp_path / "made")
    assert not (tmp_path / "it ran").exists()
    assert not (tmp_path / "made").exists()


def test_a_pickle_with_more_than_tensors_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(1), "epoch": 3}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match="holds more than tensors: epoch"):
        convert_model(str(tmp_path), tmp_path / "made")


def test_an_old_torch_may_not_read_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.save({}, tmp_path / "pytorch_model.bin")
    monkeypatch.setattr(torch, "__version__", "2.5.1+cpu")
    with pytest.raises(MissingExtraError, match=r"torch 2\.5\.1\+cpu is too old.*CVE-2025-32434"):
        convert_model(str(tmp_path), tmp_path / "made")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"model.gguf": b"GGUF"}, "is a GGUF model: dequantise it once"),
        ({"config.json": b"{}"}, "give a folder with config.json and safetensors"),
        ({"model.safetensors": b""}, "it has safetensors, but no config.json"),
        ({"config.json": b"{}", "model.ckpt": b"x"}, "model.ckpt is a pickle"),
    ],
)
def test_other_folders_are_refused_with_the_reason(
    files: dict[str, bytes], message: str, tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelNotFoundError, match=message):
        model_path(str(tmp_path))


def test_a_source_with_nothing_to_convert_is_refused(tmp_path: Path, own_cache: Path) -> None:
    with pytest.raises(ModelError, match="nothing to convert"):
        convert_model(str(tmp_path), tmp_path / "made")
    with pytest.raises(ModelError, match="needs no conversion: imine models get smollm2-135m"):
        convert_model("smollm2-135m")


def test_the_commands_fetch_convert_and_list(
    own_cache: Path, tiny_llama: Path, tmp_path: Path, hub: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    hub("owner/tiny", tiny_llama)
    as_pickle(save_neox_reward(tmp_path / "source"))

    def run(*args: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(args)
        assert ended.value.code == 0
        return capsys.readouterr().out

    run("models", "get", "owner/tiny")
    assert run("models", "path", "owner/tiny").strip() == str(own_cache / "models" / "owner--tiny")
    made = tmp_path / "made"
    assert run("models", "convert", str(tmp_path / "source"), "-o", str(made)).strip() == str(made)
    listed = run("models", "list")
    for spec in MODELS.values():
        assert spec.name in listed
        assert spec.size in listed


@pytest.mark.slow
@pytest.mark.parametrize("name", EMBEDDED)
def test_an_embedded_model_is_made_of_its_package_bit_for_bit_as_before(
    name: str, embedded_models: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Needs pip to reach the packages; rules are tied to these weights by their hash."""
    before = tensors_sha256(model_path(name)), tokenizer_sha256(name)
    monkeypatch.setenv("IMINE_CACHE", str(tmp_path))
    try:
        folder = get_model(name)
    except ModelNotFoundError as error:
        pytest.skip(str(error))
    assert folder.parent.parent == tmp_path
    assert (tensors_sha256(folder), tokenizer_sha256(name)) == before
