use std::collections::BTreeSet;
use std::path::Path;
use std::thread;

use futures_util::FutureExt;
use serde_json::json;
use sqlx::{AssertSqlSafe, ConnectOptions};
use tandem_actors::router::{BookEntry, BookError, Change, RoutingBook};
use tempfile::TempDir;
use uuid::Uuid;

use self::postgres::Postgres;
use super::database::{row, rows, sqlite_options};
use super::*;
use crate::audit::{AuditLog, Page};
use crate::clock::{SystemClock, SystemIds};

#[path = "../../tests/world/postgres.rs"]
mod postgres;

/// Where a test's database is; it goes with this.
struct Ground {
    url: String,
    folder: TempDir,
    postgres_opt: Option<Postgres>,
}

impl Ground {
    fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("tandem.db").display());
        Self { url, folder, postgres_opt: None }
    }

    fn postgres() -> Option<Self> {
        let postgres = Postgres::start()?;
        Some(Self { url: postgres.url(), folder: tempfile::tempdir().unwrap(), postgres_opt: Some(postgres) })
    }

    async fn open(&self) -> Store {
        open(&self.url).await.unwrap()
    }
}

impl Store {
    /// Says something to the database that has a time in it, or none.
    async fn write_raw(&self, sql: &'static str, at: jiff::Timestamp) {
        let done = self
            .write(async move |connection| database::execute!(connection, sql, columns::Stamp(at)).map(drop));
        done.await.unwrap();
    }
}

/// What must hold on either database.
macro_rules! on_both {
    ($(async fn $name:ident($ground:ident) $body:block)*) => {$(
        mod $name {
            use super::*;

            async fn holds($ground: Ground) $body

            #[tokio::test]
            async fn on_sqlite() {
                holds(Ground::sqlite()).await;
            }

            #[tokio::test]
            async fn on_postgres() {
                let Some(ground) = Ground::postgres() else { return };
                holds(ground).await;
            }
        }
    )*};
}

async fn open(url: &str) -> Result<Store, StoreError> {
    Store::open(url, Arc::new(SystemClock), Arc::new(SystemIds)).await
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
    let found = store.read(async move |connection| row!(connection, select)).await;
    let (revision,): (i64,) = found.unwrap().unwrap();
    usize::try_from(revision).unwrap()
}

/// Says something to the database behind the store's back.
async fn say(store: &Store, sql: &str) -> Result<(), String> {
    let sql = AssertSqlSafe(sql.to_owned());
    let said = store.write(async move |connection| match connection {
        Connection::Sqlite(connection) => sqlx::raw_sql(sql).execute(&mut **connection).await.map(drop),
        Connection::Postgres(connection) => sqlx::raw_sql(sql).execute(&mut **connection).await.map(drop),
    });
    said.await.map_err(|error| error.to_string())
}

impl Store {
    /// Of now on nothing can be read of this table, or written into it; for tests of those who need it.
    pub(crate) async fn lose_table(&self, table: &str) {
        say(self, &format!("DROP TABLE {table}")).await.unwrap();
    }
}

on_both! {
    async fn settings_and_their_history_outlive_a_restart(ground) {
        let store = ground.open().await;
        assert_eq!(store.load().await, Ok(None), "a new book is empty");
        store.save(entry(1)).await.unwrap();
        store.save(entry(2)).await.unwrap();
        let salt = store.keep_routing_salt("first").await.unwrap();
        let before = log(&store).await;
        drop(store);
        let store = ground.open().await;
        assert_eq!(store.load().await, Ok(Some(document(2))));
        assert_eq!(store.keep_routing_salt("second").await.unwrap(), salt, "made once");
        assert_eq!((salt.as_str(), log(&store).await), ("first", before));
    }

    async fn an_entry_says_who_changed_what_from_what_to_what_and_why(ground) {
        let store = ground.open().await;
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

    async fn figures_are_kept_without_an_entry(ground) {
        let store = ground.open().await;
        store.save(BookEntry { document: document(5), change_opt: None }).await.unwrap();
        assert_eq!(store.load().await, Ok(Some(document(5))));
        assert_eq!(log(&store).await, Page::default());
    }

    async fn the_log_is_read_in_pages_newest_first_while_it_grows(ground) {
        let store = ground.open().await;
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

    async fn an_entry_can_be_neither_changed_nor_removed_nor_replaced(ground) {
        let store = ground.open().await;
        store.save(entry(1)).await.unwrap();
        let before = log(&store).await;
        let tricks: &[&str] = match ground.postgres_opt {
            Some(_) => &["TRUNCATE audit_log"],
            None => &[
                "INSERT OR REPLACE INTO audit_log SELECT id, at, 'x', what, before, after, why FROM audit_log",
                "REPLACE INTO audit_log SELECT id, at, 'x', what, before, after, why FROM audit_log",
            ],
        };
        let usual = [
            "UPDATE audit_log SET who = 'nobody'",
            "DELETE FROM audit_log",
            "INSERT INTO audit_log SELECT id, at, 'x', what, before, after, why FROM audit_log WHERE true \
             ON CONFLICT (id) DO UPDATE SET who = 'nobody'",
        ];
        for sql in usual.iter().chain(tricks) {
            let refused = say(&store, sql).await.unwrap_err();
            assert!(refused.contains("the audit log is append-only"), "{sql}: {refused}");
        }
        assert_eq!(log(&store).await, before);
    }

    async fn there_is_no_change_without_its_entry(ground) {
        let store = ground.open().await;
        store.save(entry(1)).await.unwrap();
        say(&store, "DROP TABLE audit_log").await.unwrap();
        assert!(matches!(store.save(entry(2)).await, Err(BookError::Save(_))));
        assert_eq!(store.load().await, Ok(Some(document(1))));
        let unread = store.page(1, None).await.unwrap_err().to_string();
        assert!(unread.starts_with("cannot read the audit log: "), "{unread}");
    }

    async fn changes_from_many_threads_and_processes_are_made_one_after_the_other(ground) {
        const EACH: usize = 25;
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        // Two stores stand for two processes. Each is used by two threads.
        let stores = [ground.open().await, ground.open().await];
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
        let kept = log(&stores[0]).await.entries;
        let ids: BTreeSet<Uuid> = kept.iter().map(|entry| entry.id).collect();
        assert_eq!((kept.len(), ids.len()), (4 * EACH, 4 * EACH));
        assert_eq!(revision(&stores[1]).await, 4 * EACH, "none was lost");
    }

    async fn reading_and_writing_do_not_hinder_each_other(ground) {
        reads_while_it_writes(ground.open().await).await;
    }

    async fn a_salt_asked_for_twice_at_once_is_one(ground) {
        let (one, two) = (ground.open().await, ground.open().await);
        let (first, second) = tokio::join!(one.keep_routing_salt("one"), two.keep_routing_salt("two"));
        assert_eq!(first.unwrap(), second.unwrap());
    }

    async fn a_change_that_is_abandoned_is_made_whole_or_not_at_all_and_blocks_nobody(ground) {
        let store = ground.open().await;
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

    async fn a_salt_that_makes_no_sense_is_named(ground) {
        let store = ground.open().await;
        let at = if ground.postgres_opt.is_some() { "now()" } else { "0" };
        let odd = format!("INSERT INTO settings VALUES ('routing_salt', '7', 1, {at})");
        say(&store, &odd).await.unwrap();
        let refused = store.keep_routing_salt("fresh").await.unwrap_err().to_string();
        assert!(refused.starts_with("the routing salt in the database makes no sense: "), "{refused}");
    }

    async fn a_database_of_a_newer_program_is_refused_and_left_alone(ground) {
        let store = ground.open().await;
        let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                     VALUES (99, 'later', true, '', 1)";
        say(&store, newer).await.unwrap();
        let refused = open(&ground.url).await.err().unwrap();
        assert!(matches!(refused, StoreError::Newer { found: 99, known, .. } if known < 99), "{refused}");
        assert!(refused.to_string().contains("was written by a newer tandem"), "{refused}");
    }

    async fn a_database_with_another_history_is_refused(ground) {
        let store = ground.open().await;
        say(&store, "UPDATE _sqlx_migrations SET checksum = '' WHERE version = 1").await.unwrap();
        let refused = open(&ground.url).await.err().unwrap();
        assert!(matches!(refused, StoreError::Migration { .. }), "{refused}");
    }

    async fn a_migration_that_fails_leaves_no_half_made_tables(ground) {
        let sqlite = || Place::File(ground.folder.path().join("tandem.db"));
        let table = "CREATE TABLE audit_log (somebody_elses INTEGER)";
        match ground.url.parse().unwrap() {
            Place::Server(options) => {
                let mut other = options.connect().await.unwrap();
                sqlx::raw_sql(table).execute(&mut other).await.unwrap();
            }
            Place::File(_) | Place::Memory => {
                let mut other = sqlite_options(&sqlite(), &SystemIds).connect().await.unwrap();
                sqlx::raw_sql(table).execute(&mut other).await.unwrap();
            }
        }
        for _ in 0..2 {
            let refused = open(&ground.url).await.err().unwrap();
            assert!(matches!(refused, StoreError::Migration { .. }), "{refused}");
            assert!(refused.to_string().contains("audit_log"), "{refused}");
        }
    }
}

/// Entries never go while others are added.
async fn reads_while_it_writes(store: Store) {
    let writer = store.clone();
    let written = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            for n in 0..50 {
                writer.save(entry(n)).await.unwrap();
            }
        });
    });
    let mut seen = 0;
    while seen < 50 {
        let now = log(&store).await.entries.len();
        assert!(now >= seen, "an entry has gone");
        seen = now;
    }
    written.join().unwrap();
}

// --- migrations ------------------------------------------------------------------------------------------

#[test]
fn every_migration_file_is_listed_under_its_version_and_name() {
    for dialect in ["sqlite", "postgres"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(dialect);
        let files = std::fs::read_dir(folder).unwrap();
        let files: BTreeSet<String> =
            files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        let listed =
            migrations::CHANGES.each_ref().map(|change| format!("{:04}_{}.sql", change.version, change.name));
        assert!(listed.is_sorted());
        assert_eq!(files, BTreeSet::from(listed), "{dialect}");
    }
}

#[tokio::test]
async fn both_databases_have_the_same_tables_and_columns() {
    let (sqlite, Some(postgres)) = (Ground::sqlite(), Ground::postgres()) else { return };
    let of_sqlite = "SELECT tables.name, columns.name FROM pragma_table_list AS tables \
                     JOIN pragma_table_xinfo(tables.name) AS columns \
                     WHERE tables.type = 'table' AND tables.name NOT LIKE 'sqlite%'";
    let of_postgres = "SELECT table_name::text, column_name::text FROM information_schema.columns \
                       WHERE table_schema = 'public'";
    let columns = async |ground: &Ground, select| -> BTreeSet<(String, String)> {
        let store = ground.open().await;
        let found: Vec<_> = store.read(async move |connection| rows!(connection, select)).await.unwrap();
        found.into_iter().collect()
    };
    let of_sqlite = columns(&sqlite, of_sqlite).await;
    assert!(of_sqlite.contains(&("audit_log".to_owned(), "before".to_owned())));
    assert_eq!(of_sqlite, columns(&postgres, of_postgres).await);
}

mod calls;
mod postgresql;
mod rollup;
mod running;
mod spending;
mod sqlite;
mod users;
