//! The hot path in instructions: each step of a frame's way, and the whole way through the tree.
//!
//! Instructions are counted by valgrind, so the figures are the same on a busy machine. Needs `gungraun-runner` of the
//! version in Cargo.lock (`cargo install gungraun-runner`) and valgrind; run with `cargo bench --bench hot_path`.

use std::hint::black_box;
use std::time::Duration;

use actix_rt::SystemRunner;
use gungraun::{library_benchmark, library_benchmark_group, main};
use tandem_actors::engine::AudioChoice;
use tandem_actors::ports::SocketItem;
use tandem_actors::testing::QuietCall;
use tandem_media::frame::{G711Frame, Pcm24Frame};
use tandem_media::{Rate, Resampler, g711};
use tandem_wire::audio;
use tandem_wire::openai::client;
use tandem_wire::openai::server::ServerEvent;
use tandem_wire::twilio::inbound::Inbound;
use tandem_wire::twilio::outbound;

// ---------------------------------------------------------------- wire

/// A message's text as it comes from a socket.
fn text(item: &SocketItem) -> String {
    match item {
        SocketItem::Text(text) => text.to_string(),
        other => unreachable!("{other:?} is no text"),
    }
}

fn carrier_media() -> String {
    text(&QuietCall::caller_frame(1_000))
}

fn audio_delta() -> String {
    text(&QuietCall::agent_audio(AudioChoice::Pcmu, 100))
}

#[library_benchmark(setup = carrier_media)]
fn parse_a_carrier_message(message: String) -> bool {
    black_box(Inbound::parse(black_box(&message))).is_ok()
}

#[library_benchmark(setup = carrier_media)]
fn parse_a_carrier_message_and_decode_its_frame(message: String) -> G711Frame {
    let Ok(Inbound::Media(media)) = Inbound::parse(black_box(&message)) else { unreachable!("it is media") };
    G711Frame::fill_with(|frame| audio::decode_into(&media.payload, frame).unwrap_or(0))
}

#[library_benchmark]
fn build_a_carrier_message_of_100_ms() -> String {
    let mut message = String::new();
    outbound::media(&mut message, "MZ0123456789abcdef0123456789abcdef", black_box(&[0x55; 800]));
    message
}

#[library_benchmark]
fn wrap_a_frame_into_an_append() -> String {
    let mut message = String::new();
    client::append(&mut message, black_box(&[0x55; 160]));
    message
}

#[library_benchmark(setup = audio_delta)]
fn unwrap_an_audio_delta_of_100_ms(message: String) -> usize {
    let Ok(ServerEvent::OutputAudioDelta(delta)) = ServerEvent::parse(black_box(&message)) else {
        unreachable!("it is an audio delta")
    };
    let mut bytes = [0; 800];
    audio::decode_into(&delta.delta, &mut bytes).unwrap_or(0)
}

// ---------------------------------------------------------------- media

fn up() -> Resampler {
    Resampler::new(Rate::Hz8000, Rate::Hz24000)
}

fn down() -> Resampler {
    Resampler::new(Rate::Hz24000, Rate::Hz8000)
}

#[library_benchmark(setup = up)]
fn a_frame_of_mu_law_to_24_khz(mut up: Resampler) -> Pcm24Frame {
    let mut linear = [0; 160];
    g711::ulaw_decode_slice(black_box(&[0x55; 160]), &mut linear);
    Pcm24Frame::fill_with(|wide| up.process(&linear, wide))
}

#[library_benchmark(setup = down)]
fn a_frame_of_24_khz_to_mu_law(mut down: Resampler) -> G711Frame {
    let mut linear = [0; 160];
    let made = down.process(black_box(&[1_000; 480]), &mut linear);
    G711Frame::fill_with(|codes| g711::ulaw_encode_slice(&linear[..made], codes))
}

// ---------------------------------------------------------------- the tree

/// A live call that has found its working size, and the next message for it.
struct Ready {
    system: SystemRunner,
    call: QuietCall,
    message: SocketItem,
    inbound: bool,
}

const FRAMES_BEFORE: usize = 50;

fn live(audio: AudioChoice, inbound: bool) -> Ready {
    let system = actix_rt::System::new();
    let call = system.block_on(async {
        tokio::time::pause();
        let call = QuietCall::start(audio).await;
        for n in 0..FRAMES_BEFORE {
            call.carrier.say(QuietCall::caller_frame(n));
            call.provider.say(QuietCall::agent_audio(audio, 20));
            call.settle().await;
            tokio::time::advance(Duration::from_millis(20)).await;
        }
        call
    });
    let message =
        if inbound { QuietCall::caller_frame(FRAMES_BEFORE) } else { QuietCall::agent_audio(audio, 100) };
    Ready { system, call, message, inbound }
}

fn caller_pcmu() -> Ready {
    live(AudioChoice::Pcmu, true)
}

fn agent_pcmu() -> Ready {
    live(AudioChoice::Pcmu, false)
}

fn caller_pcm24() -> Ready {
    live(AudioChoice::Pcm24, true)
}

fn agent_pcm24() -> Ready {
    live(AudioChoice::Pcm24, false)
}

// Lets one message through and hands everything back, so that taking the call down is not counted.
#[library_benchmark]
#[bench::caller_frame_pcmu(caller_pcmu())]
#[bench::agent_100_ms_pcmu(agent_pcmu())]
#[bench::caller_frame_pcm24(caller_pcm24())]
#[bench::agent_100_ms_pcm24(agent_pcm24())]
fn through_the_tree(ready: Ready) -> (SystemRunner, QuietCall) {
    let Ready { system, call, message, inbound } = ready;
    let from = if inbound { &call.carrier } else { &call.provider };
    from.say(message);
    system.block_on(call.settle());
    (system, call)
}

library_benchmark_group!(
    name = wire;
    benchmarks = parse_a_carrier_message, parse_a_carrier_message_and_decode_its_frame,
        build_a_carrier_message_of_100_ms, wrap_a_frame_into_an_append, unwrap_an_audio_delta_of_100_ms
);
library_benchmark_group!(name = media; benchmarks = a_frame_of_mu_law_to_24_khz, a_frame_of_24_khz_to_mu_law);
library_benchmark_group!(name = tree; benchmarks = through_the_tree);
main!(library_benchmark_groups = wire, media, tree);
