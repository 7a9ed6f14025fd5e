#![allow(warnings)]
mod switch;
use std::time::Duration;
use serde_json::{json, Value};
use tandem_sim::{carrier::*, provider::*, speech, wav};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::{client_async, tungstenite::{Message, client::IntoClientRequest}};
use base64::{Engine, prelude::BASE64_STANDARD};
use self::switch::*;

#[tokio::test]
async fn demo() {
    let provider = Provider::start(ProviderOptions { script: Script::demo(), ..Default::default() }).await.unwrap();
    let mut switch = Switch::with_stream("").await;
    let plan = CallPlan { hang_up: HangUp::AfterAudio { linger: Duration::from_secs(5) }, ..CallPlan::new(switch.voice_url(), CallerAudio::demo()) };
    let running = tokio::spawn(async move { place_call(plan, |_| {}).await.unwrap() });
    let mut media = switch.media().await;
    media.start().await;
    let mut request = format!("{}?model=gpt-realtime-2.1", provider.realtime_url()).into_client_request().unwrap();
    request.headers_mut().insert("authorization", "Bearer x".parse().unwrap());
    let tcp = tokio::net::TcpStream::connect(provider.addr()).await.unwrap();
    let (mut ws, _) = client_async(request, tcp).await.unwrap();
    let pcmu = json!({"type":"audio/pcmu"});
    ws.send(Message::text(json!({"type":"session.update","session":{"type":"realtime","audio":{"input":{"format":pcmu,"transcription":{"model":"gpt-transcribe"}},"output":{"format":pcmu}}}}).to_string())).await.unwrap();
    let began = tokio::time::Instant::now();
    let mut ready = false;
    let mut item = String::new();
    loop {
        tokio::select! {
            event = media.event() => {
                let Some(event) = event else { break };
                if event["event"] == "media" && ready {
                    ws.send(Message::text(json!({"type":"input_audio_buffer.append","audio":event["media"]["payload"]}).to_string())).await.unwrap();
                }
            }
            message = ws.next() => {
                let Message::Text(text) = message.unwrap().unwrap() else { continue };
                let event: Value = serde_json::from_str(&text).unwrap();
                let kind = event["type"].as_str().unwrap();
                if !kind.ends_with(".delta") { println!("{:6.2} {kind} {}", began.elapsed().as_secs_f64(), event["transcript"].as_str().unwrap_or("")); }
                match kind {
                    "session.updated" => { ready = true; ws.send(Message::text(json!({"type":"response.create"}).to_string())).await.unwrap(); }
                    "response.output_audio.delta" => { media.play(&BASE64_STANDARD.decode(event["delta"].as_str().unwrap()).unwrap()).await; }
                    "input_audio_buffer.speech_started" => media.clear().await,
                    _ => {}
                }
            }
        }
    }
    let record = running.await.unwrap();
    for (at, e) in &record.events { if !matches!(e, CarrierEvent::MarkEchoed{..}) { println!("{:6.2} {:?}", at.as_secs_f64(), e); } }
    println!("{:?} {:?} {:?}", record.end, record.cleared, record.warnings);
    wav::write_stereo(std::path::Path::new("/tmp/sim-say/call.wav"), &record.said, &record.heard).unwrap();
    for t in &provider.sessions()[0].turns { println!("{t:?}"); }
    for t in &provider.sessions()[0].responses { println!("{} {} {}", t.status, t.generated_ms, t.text); }
}
