//! What holds of PostgreSQL alone.

use super::*;

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_its_password() {
    let nowhere = "postgres://me:secret@127.0.0.1:1/calls"; // a reserved port, where nobody listens
    let refused = open(nowhere).await.err().unwrap().to_string();
    assert!(refused.starts_with("cannot reach database calls at 127.0.0.1:1: "), "{refused}");
    assert!(!refused.contains("secret"), "{refused}");
}

#[tokio::test]
async fn a_server_that_goes_and_comes_back_is_used_on() {
    let Some(mut ground) = Ground::postgres() else { return };
    let store = ground.open().await;
    store.save(entry(1)).await.unwrap();
    ground.postgres_opt.as_mut().unwrap().stop();
    let refused = store.save(entry(2)).await.unwrap_err();
    assert!(matches!(refused, BookError::Save(_)), "{refused}");
    ground.postgres_opt.as_mut().unwrap().go_on();
    assert_eq!(store.load().await, Ok(Some(document(1))));
    store.save(entry(3)).await.unwrap();
    assert_eq!(log(&store).await.entries.len(), 2);
}

#[tokio::test]
async fn nodes_that_start_at_the_same_time_make_the_tables_once() {
    let Some(ground) = Ground::postgres() else { return };
    let opened = futures_util::future::join_all((0..4).map(|_| ground.open())).await;
    assert_eq!(opened.len(), 4);
}
