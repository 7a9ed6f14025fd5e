//! Faults ordered while everything runs.

use tandem_sim::provider::FaultKind;

use super::*;

#[tokio::test]
async fn killing_realtime_resets_every_session_and_refuses_new_ones_until_healed() {
    let provider = provider(&[]).await;
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = connect(&provider).await;
        client.until("session.created").await;
        clients.push(client);
    }
    clients[0].send(json!({"type": "response.create"})).await;
    clients[0].until("response.output_audio.delta").await;
    provider.kill_realtime();
    for mut client in clients {
        let error = client.end().await.unwrap_err();
        assert!(is_reset(&error), "{error:?}");
    }
    assert!(try_connect(&provider, "?model=m", &[KEY]).await.is_err());
    eventually_no_session_is_open(&provider).await;
    assert!(provider.sessions().iter().all(|session| session.end == Some(SocketEnd::ByUs("reset"))));
    let url = format!("{}/models", provider.http_base());
    let models = reqwest::Client::new().get(url).header("authorization", "Bearer k").send().await.unwrap();
    assert_eq!(models.status(), 200, "the other endpoints live");

    provider.heal();
    connect(&provider).await.until("session.created").await;
    assert_eq!((provider.sessions().len(), provider.connections()), (4, 5));
}

#[tokio::test]
async fn a_fault_ordered_for_all_strikes_open_sessions_and_those_to_come() {
    let provider = provider(&[]).await;
    let mut open = connect(&provider).await;
    open.until("conversation.created").await;
    provider.inject("error:server_error".parse::<Fault>().unwrap());
    open.until("error").await;
    connect(&provider).await.until("error").await;
    provider.inject(FaultKind::DropAfter(Duration::ZERO));
    assert_eq!(open.end().await.unwrap(), 1011);
    assert_eq!(connect(&provider).await.end().await.unwrap(), 1011);
}

#[tokio::test]
async fn a_numbered_fault_counts_from_its_order_and_spares_open_sessions() {
    let provider = provider(&["http:503@2"]).await;
    let mut open = connect(&provider).await;
    open.until("session.created").await;
    provider.inject("drop-after:0@2".parse::<Fault>().unwrap());
    assert!(try_connect(&provider, "?model=m", &[KEY]).await.is_err(), "the second of all");
    assert_eq!(connect(&provider).await.end().await.unwrap(), 1011, "the second since the order");
    open.send(json!({"type": "response.create"})).await;
    open.until("response.done").await;
}

#[tokio::test]
async fn a_response_can_hang_while_the_session_goes_on() {
    let provider = provider(&["hang-after:0.5@1"]).await;
    let mut client = connect(&provider).await;
    client.send(json!({"type": "response.create"})).await;
    client.until("response.output_audio.delta").await;
    client.send(json!({"type": "response.cancel"})).await;
    let done = client.until("response.done").await;
    assert_eq!(done["response"]["status"], "cancelled", "it did not end by itself");
    assert!((500..1_000).contains(&provider.sessions()[0].responses[0].generated_ms));
}
