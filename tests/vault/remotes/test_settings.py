"""Names of remotes, and which URLs may be kept."""

import pytest

from birdbone.vault import BadNameError
from birdbone.vault.errors import BadRemoteError, UnknownRemoteError
from birdbone.vault.remotes import add_remote, list_remotes, push, remove_remote
from birdbone.vault.remotes.transport import open_transport


def test_a_remote_is_kept_by_name_and_forgotten(vault, tmp_path):
    assert list_remotes(vault) == {}
    add_remote(vault, "near", str(tmp_path / "near"))
    add_remote(vault, "far", "s3://bucket/path/")
    assert list_remotes(vault) == {"far": "s3://bucket/path", "near": str(tmp_path / "near")}
    add_remote(vault, "far", "s3://bucket/path")
    with pytest.raises(BadRemoteError, match="remote already"):
        add_remote(vault, "far", "s3://other")
    remove_remote(vault, "far")
    with pytest.raises(UnknownRemoteError, match="known: near"):
        remove_remote(vault, "far")


def test_a_relative_folder_is_kept_whole(vault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert add_remote(vault, "near", "some/where") == str(tmp_path / "some" / "where")
    assert add_remote(vault, "file", (tmp_path / "x").as_uri()) == str(tmp_path / "x")


@pytest.mark.parametrize("url", ["s3://key:secret@bucket/x", "s3://bucket/x?secret=1", "az://a:b@c"])
def test_a_url_with_a_secret_is_refused_and_not_repeated(vault, url):
    with pytest.raises(BadRemoteError) as caught:
        add_remote(vault, "far", url)
    assert "secret@" not in str(caught.value.to_dict())
    assert "environment" in caught.value.hint
    assert not (vault.folder / "remotes.json").exists()


@pytest.mark.parametrize("url", ["http://host/x", "simplecache::s3://bucket", "nothing://x", "sftp://host/x"])
def test_a_place_where_a_ref_could_be_lost_is_refused(vault, url):
    with pytest.raises(BadRemoteError, match="cannot lie at"):
        add_remote(vault, "far", url)


@pytest.mark.parametrize("name", ["", "a/b", "..", "-x", "a b", "x.lock", "a\x00"])
def test_a_name_that_could_not_be_a_folder_is_refused(vault, name):
    with pytest.raises(BadNameError):
        add_remote(vault, name, "s3://bucket")


def test_a_damaged_file_of_remotes_is_said(vault):
    (vault.folder / "remotes.json").write_text('{"remotes": 3}')
    with pytest.raises(BadRemoteError, match=r"remotes\.json"):
        list_remotes(vault)


@pytest.mark.parametrize(("url", "package"), [("s3://bucket", "s3fs"), ("gs://bucket", "gcsfs"), ("az://box", "adlfs")])
def test_a_missing_driver_is_said_with_the_command_that_installs_it(url, package):
    pytest.importorskip("fsspec")
    try:
        __import__(package)
    except ImportError:
        with pytest.raises(BadRemoteError) as caught:
            open_transport(url)
        assert caught.value.hint == f"Run: pip install {package}"
    else:
        pytest.skip(f"{package} is installed")


def test_a_word_that_is_no_remote_is_said(vault):
    with pytest.raises(UnknownRemoteError, match="known: none"):
        push(vault, "origin", [])
