use std::time::Duration;

use tempfile::tempdir;

use super::*;

pub(crate) mod faulty;
pub(crate) mod hand;
mod lives;

use hand::{SPOOL, numbers, texts};

fn open(dir: &Path) -> (Spool, SpoolReader) {
    Spool::open(dir, SpoolLimits::default(), SPOOL).unwrap()
}

/// Reads and acknowledges until the spool has ended.
async fn drain(reader: &mut SpoolReader) -> Vec<SpoolRecord> {
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch(100, 10_000).await {
        reader.acknowledge(batch.last().unwrap().number);
        all.extend(batch);
    }
    all
}

#[tokio::test]
async fn what_is_appended_is_yielded_in_order_over_restarts() {
    let dir = tempdir().unwrap();
    let mut expected = Vec::new();
    for run in 0..5 {
        let (spool, reader) = open(dir.path());
        for n in 0..200 {
            spool.append(format!("{run} {n}"));
            expected.push(format!("{run} {n}"));
        }
        spool.close().unwrap();
        assert_eq!(spool.state().depth, (run + 1) * 200);
        assert_eq!(reader.spool_id(), SPOOL);
    }
    let (spool, mut reader) = open(dir.path());
    spool.close().unwrap();
    let records = drain(&mut reader).await;
    assert_eq!(texts(&records), expected);
    assert_eq!(numbers(&records), (1..=1_000).collect::<Vec<_>>());
    assert_eq!(spool.state(), SpoolState { disk_bytes: spool.state().disk_bytes, ..SpoolState::default() });
}

#[tokio::test]
async fn a_waiting_consumer_is_woken_by_what_is_written() {
    let dir = tempdir().unwrap();
    let (spool, mut reader) = open(dir.path());
    for n in 1..=5 {
        let (batch_opt, ()) = tokio::join!(reader.next_batch(9, 999), async { spool.append(format!("{n}")) });
        assert_eq!(texts(&batch_opt.unwrap()), [n.to_string()]);
        reader.acknowledge(n);
    }
    let (last_opt, ()) = tokio::join!(reader.next_batch(9, 999), async { spool.close().unwrap() });
    assert_eq!(last_opt, None);
}

#[tokio::test]
async fn many_threads_append_at_once_and_each_keeps_its_order() {
    const THREADS: usize = 8;
    const EACH: usize = 2_000;
    let dir = tempdir().unwrap();
    let (spool, mut reader) = open(dir.path());
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let spool = spool.clone();
            scope.spawn(move || (0..EACH).for_each(|n| spool.append(format!("{thread} {n}"))));
        }
    });
    drop(spool); // the last handle: nobody waits, and everything is written
    let records = drain(&mut reader).await;
    assert_eq!(numbers(&records), (1..=(THREADS * EACH) as u64).collect::<Vec<_>>());
    for thread in 0..THREADS {
        let of_thread = format!("{thread} ");
        let seen: Vec<usize> =
            texts(&records).iter().filter_map(|text| text.strip_prefix(&of_thread)?.parse().ok()).collect();
        assert_eq!(seen, (0..EACH).collect::<Vec<_>>());
    }
}

#[test]
fn what_comes_after_the_end_is_lost_and_said_so() {
    let dir = tempdir().unwrap();
    let (spool, _reader) = open(dir.path());
    spool.close().unwrap();
    spool.clone().append("late");
    assert_eq!((spool.state().lost, spool.state().alarm.as_deref()), (1, Some("spool is closed")));
    spool.close().expect("closing twice is no error");
}

#[tokio::test]
async fn a_writer_whose_disk_is_full_goes_on_by_itself_when_it_is_not() {
    let dir = tempdir().unwrap();
    let disk = faulty::FaultyDisk::default();
    let (spool, mut reader) =
        Spool::open_on(Box::new(disk.clone()), dir.path(), SpoolLimits::default(), SPOOL).unwrap();
    disk.faults().room_opt = Some(100);
    spool.append(vec![1; 200]);
    while spool.state().alarm.is_none() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(spool.state().alarm.as_deref(), Some("no storage space"));
    disk.faults().room_opt = None;
    assert_eq!(reader.next_batch(9, 999).await.unwrap().len(), 1);
    spool.close().unwrap();
}
