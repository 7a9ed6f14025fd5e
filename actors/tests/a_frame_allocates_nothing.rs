//! From socket to socket a frame allocates nothing but the outgoing message.

use std::alloc::System;
use std::time::Duration;

use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tandem_actors::engine::AudioChoice;
use tandem_actors::ports::SocketItem;
use tandem_actors::testing::QuietCall;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const FRAMES: usize = 1_000;

/// Frames after which queues and buffers have found their size.
const WARM_UP: usize = 50;

/// Lets prepared frames through a live tree; returns allocations, and messages written at the other side.
async fn count(audio: AudioChoice, inbound: bool) -> (usize, usize) {
    tokio::time::pause();
    let call = QuietCall::start(audio).await;
    let (from, to) = if inbound { (&call.carrier, &call.provider) } else { (&call.provider, &call.carrier) };
    let message = |n| if inbound { QuietCall::caller_frame(n) } else { QuietCall::agent_audio(audio, 20) };
    let messages: Vec<SocketItem> = (0..FRAMES).map(message).collect();

    let (mut region, mut before) = (Region::new(ALLOCATOR), 0);
    for (n, message) in messages.into_iter().enumerate() {
        if n == WARM_UP {
            (region, before) = (Region::new(ALLOCATOR), to.written());
        }
        from.say(message);
        if n % 100 == 0 {
            to.say(SocketItem::Pong); // or it would be taken for dead
        }
        call.settle().await;
        tokio::time::advance(Duration::from_millis(20)).await;
    }
    (region.change().allocations, to.written() - before)
}

/// One test: the allocator counts for the whole process, and tests of one binary run side by side.
#[test]
fn in_either_direction_with_and_without_transcoding() {
    for audio in [AudioChoice::Pcmu, AudioChoice::Pcm24] {
        for inbound in [true, false] {
            let (allocations, messages) = actix_rt::System::new().block_on(count(audio, inbound));
            assert!(messages >= FRAMES - WARM_UP, "frames went through: {messages}");
            // Beside the frames: a mark, five a second, takes one more than its text, and the call tells leg and
            // engine to look around, five times a second, with two for each message.
            let marks = messages.saturating_sub(FRAMES - WARM_UP);
            let others = allocations.saturating_sub(messages + marks);
            assert!(
                others <= FRAMES / 50 * 10 + 10,
                "{allocations} allocations for {messages} messages, {audio:?}, inbound: {inbound}"
            );
        }
    }
}
