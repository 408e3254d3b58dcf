"""Protected refs move forwards only, each identity does what its level allows, and a refusal says who can help."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from birdbone.vault import (
    BadNameError,
    commit,
    delete_ref,
    move_ref,
    put_folder,
    read_ref,
    read_reflog,
    refs,
    set_head,
)
from birdbone.vault.errors import AccessDeniedError, BadSettingsError, ProtectedRefError
from birdbone.vault.refs.audit import verify_audit
from birdbone.vault.refs.branches import delete_branch, rename_branch, switch
from birdbone.vault.refs.permissions import (
    LEVELS,
    Permissions,
    RefSettings,
    full_pattern,
    grant,
    identify,
    is_protected,
    level_of,
    protect,
    read_settings,
    set_default_level,
    unprotect,
)

from ..checkpoints import float32, write_model
from ..shapes import plant


@pytest.fixture
def ids(vault):
    """0 - 1 - 2 (main), 3 merges 1 and 2's rival 4, all on top of 0."""
    planted = plant(vault, [(), (0,), (1,), (0,), (2, 3), (4,)])
    move_ref(vault, "main", planted[2])
    return planted


def test_a_fresh_store_lets_everybody_do_everything(vault, ids):
    assert read_settings(vault) == RefSettings()
    assert not (vault.refs / "settings.json").exists()
    move_ref(vault, "main", ids[0], author="anybody")
    delete_ref(vault, "main", author="anybody else")


@pytest.mark.parametrize("place", [0, 1, 3])
def test_a_protected_branch_only_moves_forwards(vault, ids, place):
    protect(vault, "main")
    with pytest.raises(ProtectedRefError) as caught:
        move_ref(vault, "main", ids[place])
    assert caught.value.kind == "denied"
    assert "force" in caught.value.hint
    assert read_ref(vault, "main") == ids[2]
    move_ref(vault, "main", ids[4])
    move_ref(vault, "main", ids[place], force=True)
    assert read_ref(vault, "main") == ids[place]


def test_a_protected_branch_is_not_deleted_renamed_or_led_elsewhere_by_a_commit(vault, ids, tmp_path):
    artefact = put_folder(vault, write_model(tmp_path / "model", a=float32(1.0)), kind="model")
    protect(vault, "main")
    move_ref(vault, "other", ids[2])
    set_head(vault, "other")
    for act in (
        lambda: delete_ref(vault, "main"),
        lambda: delete_branch(vault, "main"),
        lambda: rename_branch(vault, "main", "new"),
        lambda: move_ref(vault, "main", ids[3]),
        lambda: commit(vault, artefact, ref="main", message="past it", parents=[ids[3]], expected=ids[2]),
    ):
        with pytest.raises(ProtectedRefError):
            act()
    assert refs(vault) == {"refs/heads/main": ids[2], "refs/heads/other": ids[2]}
    commit(vault, artefact, ref="main", message="on top")
    delete_branch(vault, "main", force=True)
    unprotect(vault, "main")
    assert read_settings(vault) == RefSettings()


def test_a_pattern_protects_what_it_matches_and_nothing_else(vault, ids):
    protect(vault, "release/*")
    held = protect(vault, "refs/tags/v?")
    assert is_protected(held, "refs/heads/release/1")
    assert is_protected(held, "refs/heads/release/1/hotfix")
    assert is_protected(held, "refs/tags/v1")
    assert not is_protected(held, "refs/tags/v10")
    assert not is_protected(held, "refs/heads/v1")
    assert not is_protected(held, "refs/heads/release")
    assert not is_protected(held, "refs/heads/my/release/1")


@pytest.mark.parametrize("pattern", ["", "/x", "a..b", "[ab]", "a\0", ".a", "a b", "main\n"])
def test_a_pattern_that_could_match_nothing_is_refused(vault, pattern):
    with pytest.raises(BadNameError):
        protect(vault, pattern)
    with pytest.raises((BadNameError, ValidationError)):
        RefSettings(protected=(pattern,))


def test_a_protected_tag_is_moved_by_an_admin_alone_even_forwards(vault, ids):
    restrict(vault, Ada="merge")
    grant(vault, "refs/tags/*", "Ada", "merge", author="Root")
    protect(vault, "refs/tags/v*", author="Root")
    for tag in ("v1", "free"):
        move_ref(vault, f"refs/tags/{tag}", ids[0], author="Ada")
    move_ref(vault, "refs/tags/free", ids[1], author="Ada", force=True)
    with pytest.raises(AccessDeniedError):
        move_ref(vault, "refs/tags/v1", ids[1], author="Ada", force=True)
    move_ref(vault, "refs/tags/v1", ids[1], author="Root", force=True)
    assert read_ref(vault, "refs/tags/v1") == ids[1]


def restrict(vault, **levels):
    """Everybody may read; Root is the admin; the others have what is given on all branches."""
    grant(vault, "refs/*", "Root", "admin")
    set_default_level(vault, "read")
    for identity, level in levels.items():
        grant(vault, "*", identity, level, author="Root")


def test_a_refusal_names_ref_identity_level_and_who_can_grant_it(vault, ids):
    restrict(vault, Ada="write")
    with pytest.raises(AccessDeniedError) as caught:
        move_ref(vault, "main", ids[1], author="Bob")
    error = caught.value
    assert error.kind == "denied"
    assert error.fields == {
        "ref": "refs/heads/main",
        "identity": "Bob",
        "level": "read",
        "needed": "write",
        "admins": ["Root"],
    }
    assert all(word in error.message for word in ("Bob", "refs/heads/main", "read", "write"))
    assert "Root" in error.hint
    assert read_ref(vault, "main") == ids[2]


def may(act, **arguments) -> bool:
    try:
        act(**arguments)
    except AccessDeniedError:
        return False
    return True


@pytest.mark.parametrize(("level", "rank"), [(level, rank) for rank, level in enumerate(LEVELS)])
def test_each_level_may_what_it_says_and_what_the_lower_ones_may(vault, ids, level, rank):
    restrict(vault, Ada=level)
    protect(vault, "main", author="Root")
    move_ref(vault, "unmerged", ids[2], author="Root")
    allowed = [
        may(switch, vault=vault, target="main", author="Ada"),
        may(move_ref, vault=vault, ref="new", version=ids[0], author="Ada"),
        may(move_ref, vault=vault, ref="unmerged", version=ids[5], author="Ada"),
        may(move_ref, vault=vault, ref="main", version=ids[0], author="Ada", force=True),
    ]
    assert allowed == [needed <= rank for needed in range(4)]
    assert may(protect, vault=vault, pattern="x", author="Ada") is False
    assert verify_audit(vault).is_whole


def test_who_may_write_may_undo_and_take_away_an_unprotected_ref(vault, ids):
    restrict(vault, Ada="write")
    move_ref(vault, "main", ids[5], author="Root")
    move_ref(vault, "main", ids[4], reason="undo, to a merge that was there before", author="Ada")
    move_ref(vault, "main", ids[3], reason="elsewhere", author="Ada")
    delete_ref(vault, "main", author="Ada")
    assert [move.author for move in read_reflog(vault, "main")][-3:] == ["Ada", "Ada", "Ada"]


def test_force_does_not_help_who_is_no_admin(vault, ids):
    restrict(vault, Ada="merge")
    protect(vault, "main", author="Root")
    with pytest.raises(AccessDeniedError) as caught:
        move_ref(vault, "main", ids[0], author="Ada", force=True)
    assert not isinstance(caught.value, ProtectedRefError)
    assert caught.value.fields["needed"] == "admin"


def test_the_closest_pattern_decides_and_a_name_comes_before_everybody():
    permissions = Permissions(
        default="read",
        grants={
            "*": {"*": "write", "Ada": "admin"},
            "release/*": {"*": "read"},
            "release/1": {"Ada": "merge"},
            "refs/tags/*": {"Bob": "write"},
        },
    )
    allowed = RefSettings(permissions=permissions)
    expected = {
        ("refs/heads/x", "Ada"): "admin",
        ("refs/heads/x", "Bob"): "write",
        ("refs/heads/release/2", "Ada"): "read",
        ("refs/heads/release/1", "Ada"): "merge",
        ("refs/heads/release/1", "Bob"): "read",
        ("refs/tags/v1", "Bob"): "write",
        ("refs/tags/v1", "Ada"): "read",
        ("HEAD", "Ada"): "read",
    }
    assert {key: level_of(allowed, *key) for key in expected} == expected


patterns = st.sampled_from(["*", "main", "m*", "ma?n", "release/*", "refs/*", "refs/tags/*"])
levels = st.sampled_from(LEVELS)


@settings(deadline=None)
@given(
    st.dictionaries(patterns, st.dictionaries(st.sampled_from(["*", "Ada", "Bob"]), levels, max_size=3), max_size=4),
    levels,
    st.sampled_from(["Ada", "Eve"]),
)
def test_a_level_is_always_one_that_was_given_for_the_ref(grants, default, identity):
    allowed = RefSettings(permissions=Permissions(default=default, grants=grants))
    matching = {pattern for pattern in grants if pattern in ("*", "main", "m*", "ma?n", "refs/*")}
    given_ = {level for pattern in matching for who, level in grants[pattern].items() if who in ("*", identity)}
    assert level_of(allowed, "refs/heads/main", identity) in (given_ or {default})
    again = RefSettings.model_validate_json(allowed.model_dump_json())
    assert again == allowed
    assert all(full_pattern(pattern) == pattern for pattern in again.permissions.grants)


def test_nobody_can_lock_everybody_out(vault):
    with pytest.raises(BadSettingsError):
        set_default_level(vault, "write")
    grant(vault, "refs/*", "Root", "admin")
    set_default_level(vault, "write")
    with pytest.raises(BadSettingsError):
        grant(vault, "refs/*", "Root", None, author="Root")
    with pytest.raises(AccessDeniedError):
        grant(vault, "refs/*", "Ada", "admin", author="Ada")
    assert level_of(read_settings(vault), "refs/settings", "Root") == "admin"


@pytest.mark.parametrize("content", ["", "{", "[]", '{"protected": ["a..b"]}', '{"permissions": {"default": "owner"}}'])
def test_settings_that_cannot_be_read_stop_every_move(vault, ids, content):
    (vault.refs / "settings.json").write_text(content)
    with pytest.raises((BadSettingsError, BadNameError)):
        move_ref(vault, "main", ids[4])
    assert read_ref(vault, "main") == ids[2]


def test_settings_that_were_edited_past_the_audit_give_nobody_a_right(vault, ids):
    restrict(vault, Ada="read")
    path = vault.refs / "settings.json"
    path.write_text(RefSettings(permissions=Permissions(grants={"refs/*": {"Ada": "admin"}})).model_dump_json())
    with pytest.raises(BadSettingsError):
        move_ref(vault, "main", ids[1], author="Ada")
    path.unlink()
    with pytest.raises(BadSettingsError):
        move_ref(vault, "main", ids[1], author="Ada")
    assert not verify_audit(vault).is_whole


def test_a_change_that_a_crash_cut_off_before_its_file_holds(vault, ids):
    protect(vault, "topic")
    path = vault.refs / "settings.json"
    before = path.read_bytes()
    made = protect(vault, "main")
    path.write_bytes(before)
    assert read_settings(vault) == made
    assert verify_audit(vault).is_whole
    assert verify_audit(vault).cut_off == ("refs/settings",)
    with pytest.raises(ProtectedRefError):
        move_ref(vault, "main", ids[1])
    protect(vault, "other")
    assert read_settings(vault).protected == ("refs/heads/main", "refs/heads/other", "refs/heads/topic")
    assert verify_audit(vault).cut_off == ()


def test_a_change_that_a_crash_cut_off_before_its_tip_was_never_made(vault, ids):
    tip, path = vault.refs / "reflog-tip.json", vault.refs / "settings.json"
    protect(vault, "topic")
    before = tip.read_bytes(), path.read_bytes()
    protect(vault, "main")
    tip.write_bytes(before[0])
    path.write_bytes(before[1])
    move_ref(vault, "main", ids[1])
    assert read_settings(vault).protected == ("refs/heads/topic",)
    assert verify_audit(vault).is_whole


def test_who_acts_is_who_is_named_else_the_environment_else_the_account(monkeypatch):
    monkeypatch.setenv("BIRDBONE_AUTHOR", "Cyd")
    assert identify("Ada") == "Ada"
    assert identify(None) == identify("") == "Cyd"
    monkeypatch.delenv("BIRDBONE_AUTHOR")
    assert identify(None)
