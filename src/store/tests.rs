use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::thread;

use futures_util::FutureExt;
use serde_json::json;
use tandem_actors::router::{BookEntry, BookError, Change, RoutingBook};
use tempfile::TempDir;
use uuid::Uuid;

use super::*;
use crate::audit::{AuditLog, Page};
use crate::clock::{SystemClock, SystemIds};

async fn open(url: &str) -> Result<Store, StoreError> {
    Store::open(url, Arc::new(SystemClock), Arc::new(SystemIds)).await
}

/// A folder of its own, and the URL of a database in it.
fn folder() -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite://{}", folder.path().join("tandem.db").display());
    (folder, url)
}

/// A document with the change that made it.
fn entry(n: usize) -> BookEntry {
    let change = Change {
        who: "operator at 127.0.0.1".to_owned(),
        what: "routing",
        before: json!({ "realtime_probability": 0.5 }),
        after: json!({ "realtime_probability": n }),
        why: "it's Monday; \"quotes\" \u{1f680}".to_owned(),
    };
    BookEntry { document: document(n), change_opt: Some(change) }
}

fn document(n: usize) -> String {
    json!({ "n": n }).to_string()
}

async fn log(store: &Store) -> Page {
    store.page(1000, None).await.unwrap()
}

/// How often the book was saved.
async fn revision(store: &Store) -> usize {
    let select = "SELECT revision FROM settings WHERE name = 'routing'";
    let read: i64 = sqlx::query_scalar(select).fetch_one(&mut *store.reader.lock().await).await.unwrap();
    usize::try_from(read).unwrap()
}

/// Says something to the database behind the store's back.
async fn say(store: &Store, sql: &'static str) -> Result<(), String> {
    let mut writer = store.writer.lock().await;
    let said = sqlx::raw_sql(sql).execute(writer.as_mut().expect("no write has failed")).await;
    said.map(drop).map_err(|error| error.to_string())
}

// --- what is kept ----------------------------------------------------------------------------------------

#[tokio::test]
async fn settings_and_their_history_outlive_a_restart() {
    let (_folder, url) = folder();
    let store = open(&url).await.unwrap();
    assert_eq!(store.load().await, Ok(None), "a new book is empty");
    store.save(entry(1)).await.unwrap();
    store.save(entry(2)).await.unwrap();
    let salt = store.keep_routing_salt("first").await.unwrap();
    let before = log(&store).await;
    drop(store);
    let store = open(&url).await.unwrap();
    assert_eq!(store.load().await, Ok(Some(document(2))));
    assert_eq!(store.keep_routing_salt("second").await.unwrap(), salt, "made once");
    assert_eq!((salt.as_str(), log(&store).await), ("first", before));
}

#[tokio::test]
async fn a_change_outlives_a_process_that_is_killed() {
    let (folder, url) = folder();
    let store = open(&url).await.unwrap();
    store.save(entry(1)).await.unwrap();
    // What a killed process leaves behind: a log that nobody has worked into the file.
    let (left, left_url) = self::folder();
    for file in ["tandem.db", "tandem.db-wal"] {
        std::fs::copy(folder.path().join(file), left.path().join(file)).unwrap();
    }
    let heir = open(&left_url).await.unwrap();
    assert_eq!(heir.load().await, Ok(Some(document(1))));
    assert_eq!(log(&heir).await, log(&store).await);
}

#[tokio::test]
async fn a_settled_database_is_whole_in_its_file_alone() {
    let (folder, url) = folder();
    let store = open(&url).await.unwrap();
    store.save(entry(1)).await.unwrap();
    store.settle().await.unwrap();
    let (left, left_url) = self::folder();
    std::fs::copy(folder.path().join("tandem.db"), left.path().join("tandem.db")).unwrap();
    assert_eq!(open(&left_url).await.unwrap().load().await, Ok(Some(document(1))));
    store.save(entry(2)).await.unwrap();
    assert_eq!(store.load().await, Ok(Some(document(2))), "it can be used on");
    open("sqlite::memory:").await.unwrap().settle().await.unwrap();
}

#[tokio::test]
async fn a_database_in_memory_keeps_as_much_until_it_ends() {
    let store = open("sqlite::memory:").await.unwrap();
    store.save(entry(1)).await.unwrap();
    assert_eq!(store.clone().load().await, Ok(Some(document(1))));
    assert_eq!(log(&store).await.entries.len(), 1);
    assert_eq!(open("sqlite::memory:").await.unwrap().load().await, Ok(None), "each is its own");
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode")
        .fetch_one(store.writer.lock().await.as_mut().unwrap())
        .await
        .unwrap();
    assert_eq!(journal, "memory", "no file is written");
}

#[tokio::test]
async fn an_entry_says_who_changed_what_from_what_to_what_and_why() {
    let store = open("sqlite::memory:").await.unwrap();
    let earliest = SystemClock.now();
    store.save(entry(1)).await.unwrap();
    let page = log(&store).await;
    let Change { who, what, before, after, why } = entry(1).change_opt.unwrap();
    let kept = &page.entries[0];
    assert_eq!((&kept.who, kept.what.as_str(), &kept.why), (&who, what, &why));
    assert_eq!((&kept.before, &kept.after), (&before, &after));
    assert!(kept.at.as_microsecond() >= earliest.as_microsecond() && kept.at <= SystemClock.now());
    assert_eq!(kept.id.get_version_num(), 7);
}

#[tokio::test]
async fn figures_are_kept_without_an_entry() {
    let store = open("sqlite::memory:").await.unwrap();
    store.save(BookEntry { document: document(5), change_opt: None }).await.unwrap();
    assert_eq!(store.load().await, Ok(Some(document(5))));
    assert_eq!(log(&store).await, Page::default());
}

#[tokio::test]
async fn the_log_is_read_in_pages_newest_first_while_it_grows() {
    let store = open("sqlite::memory:").await.unwrap();
    for n in 0..5 {
        store.save(entry(n)).await.unwrap();
    }
    let numbers = |page: &Page| -> Vec<u64> {
        page.entries.iter().map(|entry| entry.after["realtime_probability"].as_u64().unwrap()).collect()
    };
    let last = |page: &Page| page.entries.last().map(|entry| entry.id);
    let first = store.page(2, None).await.unwrap();
    assert_eq!((numbers(&first), first.more), (vec![4, 3], true));
    store.save(entry(9)).await.unwrap();
    let second = store.page(2, last(&first)).await.unwrap();
    assert_eq!((numbers(&second), second.more), (vec![2, 1], true));
    let third = store.page(2, last(&second)).await.unwrap();
    assert_eq!((numbers(&third), third.more), (vec![0], false));
    assert_eq!(store.page(2, last(&third)).await.unwrap(), Page::default());
    assert_eq!(store.page(2, Some(Uuid::nil())).await.unwrap(), Page::default());
}

// --- what cannot be done to the log ----------------------------------------------------------------------

#[tokio::test]
async fn an_entry_can_be_neither_changed_nor_removed_nor_replaced() {
    let store = open("sqlite::memory:").await.unwrap();
    store.save(entry(1)).await.unwrap();
    let before = log(&store).await;
    for sql in [
        "UPDATE audit_log SET who = 'nobody'",
        "DELETE FROM audit_log",
        "INSERT OR REPLACE INTO audit_log SELECT id, at, 'nobody', what, before, after, why FROM audit_log",
        "REPLACE INTO audit_log SELECT id, at, 'nobody', what, before, after, why FROM audit_log",
        "INSERT INTO audit_log SELECT id, at, 'x', what, before, after, why FROM audit_log WHERE true \
         ON CONFLICT (id) DO UPDATE SET who = 'nobody'",
    ] {
        let refused = say(&store, sql).await.unwrap_err();
        assert!(refused.contains("the audit log is append-only"), "{sql}: {refused}");
    }
    assert_eq!(log(&store).await, before);
}

#[tokio::test]
async fn there_is_no_change_without_its_entry() {
    let store = open("sqlite::memory:").await.unwrap();
    store.save(entry(1)).await.unwrap();
    say(&store, "DROP TABLE audit_log").await.unwrap();
    assert!(matches!(store.save(entry(2)).await, Err(BookError::Save(_))));
    assert_eq!(store.load().await, Ok(Some(document(1))));
    let unread = store.page(1, None).await.unwrap_err().to_string();
    assert!(unread.starts_with("cannot read the audit log: "), "{unread}");
}

#[tokio::test]
async fn an_entry_that_makes_no_sense_is_named() {
    let store = open("sqlite::memory:").await.unwrap();
    say(&store, "INSERT INTO audit_log VALUES ('x', 0, '', '', 'null', 'null', '')").await.unwrap();
    let unread = store.page(1, None).await.unwrap_err().to_string();
    assert!(unread.starts_with("the audit log in the database makes no sense: `id` of entry x"), "{unread}");
}

// --- many at once ----------------------------------------------------------------------------------------

#[test]
fn changes_from_many_threads_and_processes_are_made_one_after_the_other() {
    const EACH: usize = 25;
    let (_folder, url) = folder();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    // Two stores stand for two processes. Each is used by two threads whose runtimes are not the one it was made on.
    let stores = [0, 1].map(|_| runtime().block_on(open(&url)).unwrap());
    let writers = stores.iter().flat_map(|store| [store.clone(), store.clone()]);
    let writers: Vec<_> = writers
        .map(|store| {
            let runtime = runtime();
            thread::spawn(move || {
                for n in 0..EACH {
                    runtime.block_on(store.save(entry(n))).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    runtime().block_on(async {
        let kept = log(&stores[0]).await.entries;
        assert_eq!(kept.len(), 4 * EACH);
        let ids: BTreeSet<Uuid> = kept.iter().map(|entry| entry.id).collect();
        assert_eq!(ids.len(), 4 * EACH);
        assert_eq!(revision(&stores[1]).await, 4 * EACH, "none was lost");
    });
}

#[test]
fn reading_and_writing_do_not_hinder_each_other_in_a_file_nor_in_memory() {
    let (_folder, url) = folder();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for url in [url.as_str(), "sqlite::memory:"] {
        let store = runtime().block_on(open(url)).unwrap();
        let writer = store.clone();
        let written = thread::spawn(move || {
            runtime().block_on(async {
                for n in 0..50 {
                    writer.save(entry(n)).await.unwrap();
                }
            });
        });
        runtime().block_on(async {
            let mut seen = 0;
            while seen < 50 {
                let now = log(&store).await.entries.len();
                assert!(now >= seen, "an entry has gone");
                seen = now;
            }
        });
        written.join().unwrap();
    }
}

#[tokio::test]
async fn a_salt_asked_for_twice_at_once_is_one() {
    let (_folder, url) = folder();
    let (one, two) = (open(&url).await.unwrap(), open(&url).await.unwrap());
    let (first, second) = tokio::join!(one.keep_routing_salt("one"), two.keep_routing_salt("two"));
    assert_eq!(first.unwrap(), second.unwrap());
}

#[tokio::test]
async fn a_change_that_is_abandoned_is_made_whole_or_not_at_all_and_blocks_nobody() {
    let store = open("sqlite::memory:").await.unwrap();
    for polls in 0..20 {
        let mut abandoned = store.save(entry(polls));
        // How far it comes with so many polls is up to the thread of the database.
        let done = (0..polls).any(|_| abandoned.as_mut().now_or_never().is_some());
        tokio::task::yield_now().await;
        drop((abandoned, done));
    }
    store.save(entry(99)).await.unwrap();
    assert_eq!(store.load().await, Ok(Some(document(99))));
    assert_eq!(log(&store).await.entries.len(), revision(&store).await);
}

// --- what goes wrong -------------------------------------------------------------------------------------

#[tokio::test]
async fn a_full_disk_refuses_the_change_and_keeps_what_was_there() {
    let (_folder, url) = folder();
    let store = open(&url).await.unwrap();
    store.save(entry(1)).await.unwrap();
    say(&store, "PRAGMA max_page_count = 1").await.unwrap(); // SQLite takes the present size
    let large = json!("x".repeat(1 << 20)).to_string();
    let refused = store.save(BookEntry { document: large, ..entry(2) }).await.unwrap_err();
    assert!(refused.to_string().contains("full"), "{refused}");
    assert_eq!(store.load().await, Ok(Some(document(1))));
    store.save(entry(3)).await.unwrap();
    assert_eq!(log(&store).await.entries.len(), 2, "the next change finds room");
}

#[tokio::test]
async fn a_database_that_has_become_read_only_refuses_in_words() {
    let (_folder, url) = folder();
    let store = open(&url).await.unwrap();
    say(&store, "PRAGMA query_only = 1").await.unwrap();
    let refused = store.save(entry(1)).await.unwrap_err().to_string();
    assert!(refused.contains("readonly"), "{refused}");
    store.save(entry(1)).await.unwrap();
    say(&store, "PRAGMA query_only = 1").await.unwrap();
    let refused = store.keep_routing_salt("fresh").await.unwrap_err().to_string();
    assert!(refused.starts_with("cannot write the routing salt: "), "{refused}");
    assert_eq!(store.load().await, Ok(Some(document(1))), "reading goes on");
}

#[tokio::test]
async fn a_salt_that_makes_no_sense_is_named() {
    let store = open("sqlite::memory:").await.unwrap();
    say(&store, "INSERT INTO settings VALUES ('routing_salt', '7', 1, 0)").await.unwrap();
    let refused = store.keep_routing_salt("fresh").await.unwrap_err().to_string();
    assert!(refused.starts_with("the routing salt in the database makes no sense: "), "{refused}");
}

#[tokio::test]
async fn a_place_where_no_database_can_be_is_named() {
    let (folder, _) = folder();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "this is no database, but it has a line or two of text in it").unwrap();
    for path in [folder.path().join("missing/tandem.db"), folder.path().to_owned(), text] {
        let refused = open(&format!("sqlite://{}", path.display())).await.err().unwrap().to_string();
        let expected = format!("cannot open database {}", path.display());
        assert!(refused.starts_with(&expected), "{refused}");
    }
}

// --- migrations ------------------------------------------------------------------------------------------

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_and_left_alone() {
    let (_folder, url) = folder();
    let store = open(&url).await.unwrap();
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (99, 'later', true, x'00', 1)";
    say(&store, newer).await.unwrap();
    let refused = open(&url).await.err().unwrap();
    assert!(matches!(refused, StoreError::Newer { found: 99, known: 2, .. }), "{refused}");
    assert!(refused.to_string().contains("was written by a newer tandem"), "{refused}");
}

#[tokio::test]
async fn a_database_with_another_history_is_refused() {
    let (_folder, url) = folder();
    let store = open(&url).await.unwrap();
    say(&store, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await.unwrap();
    let refused = open(&url).await.err().unwrap();
    assert!(matches!(refused, StoreError::Migration { .. }), "{refused}");
}

#[tokio::test]
async fn a_migration_that_fails_leaves_no_half_made_tables() {
    let (_folder, url) = folder();
    let path = PathBuf::from(url.strip_prefix("sqlite://").unwrap());
    let mut other = options(&Place::File(path), &SystemIds).connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE audit_log (somebody_elses INTEGER)").execute(&mut other).await.unwrap();
    let refused = open(&url).await.err().unwrap();
    assert!(matches!(refused, StoreError::Migration { .. }), "{refused}");
    let tables: Vec<String> =
        sqlx::query_scalar("SELECT name FROM sqlite_schema").fetch_all(&mut other).await.unwrap();
    assert_eq!(tables, ["audit_log"]);
}

#[test]
fn every_migration_file_is_listed_under_its_version_and_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations/sqlite");
    let files = std::fs::read_dir(folder).unwrap();
    let files: BTreeSet<String> =
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    let listed = migrations::MIGRATIONS.map(|(version, name, _)| format!("{version:04}_{name}.sql"));
    assert!(listed.is_sorted());
    assert_eq!(files, BTreeSet::from(listed));
}
