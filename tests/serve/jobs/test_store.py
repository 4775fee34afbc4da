"""Pages, tombstones, threads, and the format of the database."""

import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from burnish.errors import RunError
from burnish.serve.jobs.models import add_model, aliases, delete_model, find_model, list_models, set_alias
from burnish.serve.jobs.store import Store, insert, new_id, open_store


def add_jobs(store: Store, count: int, *, created_at: int = 5) -> list[str]:
    """Events of one second, oldest first."""
    ids = [new_id("ftevent-") for _ in range(count)]
    with store.transaction() as connection:
        for event_id in ids:
            values = {"job_id": "j", "level": "info", "type": "message", "message": "m"}
            insert(connection, "event", id=event_id, created_at=created_at, **values)
    return ids


def walk(store: Store, limit: int, newest_first: bool = True) -> list[str]:
    """All ids, page by page, as OpenAI's clients go."""
    found, after = list[str](), None
    while True:
        page = store.page("event", after=after, limit=limit, newest_first=newest_first)
        found += [row["id"] for row in page.rows]
        assert len(page.rows) == limit or not page.has_more
        if not page.has_more:
            return found
        after = found[-1]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
def test_a_walk_sees_each_row_of_one_second_once_and_in_order(store: Store, limit: int) -> None:
    ids = add_jobs(store, 7)
    assert walk(store, limit) == ids[::-1]
    assert walk(store, limit, newest_first=False) == ids


@given(times=st.lists(st.integers(0, 3), max_size=12), limit=st.integers(1, 5))
def test_a_walk_sees_all_rows_whatever_their_times(
    times: list[int], limit: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with open_store(tmp_path_factory.mktemp("walk")) as store:
        made = [(time, add_jobs(store, 1, created_at=time)[0]) for time in times]
        order = sorted(range(len(made)), key=lambda i: (made[i][0], i), reverse=True)
        assert walk(store, limit) == [made[i][1] for i in order]


def test_behind_a_deleted_row_the_walk_goes_on(store: Store) -> None:
    ids = add_jobs(store, 5)[::-1]
    with store.transaction() as connection:
        connection.execute("UPDATE event SET deleted = 1 WHERE id = ?", (ids[2],))
    page = store.page("event", after=ids[2], limit=10)
    assert [row["id"] for row in page.rows] == ids[3:]
    assert [row["id"] for row in store.page("event", limit=10).rows] == ids[:2] + ids[3:]


def test_behind_an_unknown_id_and_with_no_limit_there_is_nothing(store: Store) -> None:
    add_jobs(store, 3)
    for page in (store.page("event", after="after", limit=10), store.page("event", limit=0)):
        assert page.to_dict(dict) == {
            "object": "list", "data": [], "has_more": False, "first_id": None, "last_id": None,
        }  # fmt: skip


def test_a_transaction_that_fails_leaves_nothing(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as connection:
        insert(connection, "alias", name="a", target="b")
        _ = 1 / 0
    assert aliases(store) == {}


def test_threads_and_processes_write_at_once_and_lose_nothing(store: Store) -> None:
    with open_store(store.folder) as other:
        threads = [threading.Thread(target=add_jobs, args=(each, 1)) for each in [store, other] * 20]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(walk(other, 3)) == 40


def test_a_database_of_a_newer_burnish_is_refused(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with sqlite3.connect(tmp_path / "serve.sqlite") as connection:
        connection.execute("PRAGMA user_version = 999")
    with pytest.raises(RunError, match="newer burnish"):
        open_store(tmp_path)


def test_what_was_written_is_there_after_it_is_opened_again(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        set_alias(store, "gpt-4o-mini", "tiny")
    with open_store(tmp_path) as store:
        assert aliases(store) == {"gpt-4o-mini": "tiny"}
        set_alias(store, "gpt-4o-mini", None)
        assert aliases(store) == {}


def test_models_are_found_by_name_until_they_are_deleted(store: Store, tmp_path: Path) -> None:
    with store.transaction() as connection:
        add_model(connection, "ft:a:b::c", base="smollm2", base_id="a", adapter=tmp_path, job_id="ftjob-1")
    found = find_model(store, "ft:a:b::c")
    assert found is not None and (found.base, found.adapter, found.run) == ("smollm2", tmp_path, None)
    assert list_models(store) == [found]
    assert delete_model(store, found.id) and not delete_model(store, found.id)
    assert find_model(store, found.id) is None and list_models(store) == []
