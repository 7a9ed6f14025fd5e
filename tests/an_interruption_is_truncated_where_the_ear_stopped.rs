//! proto
mod world;
use futures_util::future::join_all;
use std::time::Duration;
use tandem_sim::carrier::*;
use tandem_sim::provider::*;
use world::*;

#[actix_rt::test]
async fn proto() {
    for (name, audio, net, faults, speed) in [
        ("pcmu", "pcmu", "", "", 3.0),
        ("jit", "pcmu", "jitter:30,start:60", "", f32::INFINITY),
        ("nomarks", "pcmu", "", "no-marks", 1.0),
        ("pcm24", "pcm24", "", "", 3.0),
    ] {
        let mut world = World::start(
            ProviderOptions { speed, ..ProviderOptions::default() },
            &[("TANDEM__OPENAI__AUDIO", audio)],
        )
        .await;
        let onsets =
            [240, 260, 280, 300, 320, 340, 360, 380, 1000, 1500, 2200, 2900, 3160, 3200, 3240, 3280, 3600];
        let plans = onsets
            .iter()
            .map(|&onset| {
                let one = silent_then(onset, 560);
                let two = silent_then(1240, 560);
                let mut plan = world.plan(one.samples().iter().chain(two.samples()).copied().collect());
                plan.network = net.parse().unwrap();
                if !faults.is_empty() {
                    plan.faults = vec![faults.parse().unwrap()];
                }
                plan.hang_up = HangUp::AfterAudio { linger: Duration::from_millis(800) };
                plan
            })
            .collect::<Vec<_>>();
        let records = join_all(plans.into_iter().map(place)).await;
        let sessions = world.provider.sessions();
        println!("== {name}");
        for (onset, record) in onsets.iter().zip(&records) {
            let report = world.report(record).await;
            let items: Vec<_> = report.ledger.turns().iter().map(|t| t.item.clone()).collect();
            let session = sessions
                .iter()
                .find(|s| s.responses.iter().any(|r| r.items.iter().any(|i| items.contains(i))))
                .unwrap();
            let mut total = 0;
            print!("{onset}: ");
            for c in &record.cleared {
                print!(
                    "clear@{} heard {} (dropped {}) ",
                    (c.at - record.stream_started.unwrap()).as_millis(),
                    c.played_ms_total - total,
                    c.dropped_ms
                );
                total = c.played_ms_total;
            }
            for t in &session.truncations {
                print!("| trunc {} of {} {}", t.audio_end_ms, t.item_ms, t.accepted);
            }
            let last = |from: usize| {
                let s = &record.heard[from * 8..];
                s.iter().rposition(|&x| x != 0).map_or(0, |p| from + p / 8)
            };
            print!(
                " | resp {:?}",
                session.responses.iter().map(|r| (r.generated_ms, r.status)).collect::<Vec<_>>()
            );
            println!(
                " errors {:?} viol {:?} disc {:?} {} last {}",
                session.errors_sent,
                session.violations,
                report.discrepancies,
                record.end,
                last(0)
            );
        }
        world.close().await;
    }
}
