//! What holds of SQLite alone.

use super::*;

#[tokio::test]
async fn a_change_outlives_a_process_that_is_killed() {
    let ground = Ground::sqlite();
    let store = ground.open().await;
    store.save(entry(1)).await.unwrap();
    // What a killed process leaves behind: a log that nobody has worked into the file.
    let left = Ground::sqlite();
    for file in ["tandem.db", "tandem.db-wal"] {
        std::fs::copy(ground.folder.path().join(file), left.folder.path().join(file)).unwrap();
    }
    let heir = left.open().await;
    assert_eq!(heir.load().await, Ok(Some(document(1))));
    assert_eq!(log(&heir).await, log(&store).await);
}

#[tokio::test]
async fn a_settled_database_is_whole_in_its_file_alone() {
    let ground = Ground::sqlite();
    let store = ground.open().await;
    store.save(entry(1)).await.unwrap();
    store.settle().await.unwrap();
    let left = Ground::sqlite();
    std::fs::copy(ground.folder.path().join("tandem.db"), left.folder.path().join("tandem.db")).unwrap();
    assert_eq!(left.open().await.load().await, Ok(Some(document(1))));
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
    let journal = store.read(async |connection| row!(connection, "PRAGMA journal_mode")).await;
    assert_eq!(journal.unwrap(), Some(("memory".to_owned(),)), "no file is written");
    reads_while_it_writes(open("sqlite::memory:").await.unwrap()).await;
}

#[tokio::test]
async fn an_entry_that_makes_no_sense_is_named() {
    let store = open("sqlite::memory:").await.unwrap();
    say(&store, "INSERT INTO audit_log VALUES ('0', 0, '', '', 'null', 'null', '')").await.unwrap();
    let unread = store.page(1, None).await.unwrap_err().to_string();
    assert!(unread.starts_with("cannot read the audit log: "), "{unread}");
    assert!(unread.contains("column 0"), "{unread}");
}

#[tokio::test]
async fn a_full_disk_refuses_the_change_and_keeps_what_was_there() {
    let ground = Ground::sqlite();
    let store = ground.open().await;
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
    let ground = Ground::sqlite();
    let store = ground.open().await;
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
async fn a_place_where_no_database_can_be_is_named() {
    let Ground { folder, .. } = Ground::sqlite();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "this is no database, but it has a line or two of text in it").unwrap();
    for path in [folder.path().join("missing/tandem.db"), folder.path().to_owned(), text] {
        let refused = open(&format!("sqlite://{}", path.display())).await.err().unwrap().to_string();
        let expected = format!("cannot open database {}", path.display());
        assert!(refused.starts_with(&expected), "{refused}");
    }
}
