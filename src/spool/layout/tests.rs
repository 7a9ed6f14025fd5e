use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;

const SPOOL: Uuid = Uuid::from_u128(7);
const FIRST: u64 = 1_000;
const NUMBERS: Range<u64> = FIRST..FIRST + 1_000_000;

/// Records one after the other, and where each lies.
fn lay_out(payloads: &[Vec<u8>]) -> (Vec<u8>, Vec<Range<usize>>) {
    let mut bytes = Vec::new();
    let mut places = Vec::new();
    for (payload, number) in payloads.iter().zip(FIRST..) {
        let begin = bytes.len();
        write_record(SPOOL, number, payload, &mut bytes);
        places.push(begin..bytes.len());
    }
    (bytes, places)
}

/// All records that are found, and how many damaged places.
fn find(bytes: &[u8]) -> (Vec<(u64, Vec<u8>)>, usize) {
    let (mut found, mut damaged, mut at) = (Vec::new(), 0, 0);
    while at < bytes.len() {
        let end = match piece(SPOOL, &NUMBERS, bytes, at, true) {
            Piece::Record { number, payload } => {
                found.push((number, bytes[payload.clone()].to_vec()));
                payload.end
            }
            Piece::End { end, .. } => end,
            Piece::Damaged { end } => {
                damaged += 1;
                end
            }
            Piece::Cut => panic!("nothing is cut where the segment ends"),
        };
        assert!(end > at, "a search that does not move never ends");
        at = end;
    }
    (found, damaged)
}

/// Something that happens to a file.
#[derive(Clone, Debug)]
enum Blow {
    Flip { at: Index, bits: u8 },
    Insert { at: Index, bytes: Vec<u8> },
    Remove { at: Index, length: usize },
    Truncate { at: Index },
}

fn blow() -> impl Strategy<Value = Blow> {
    prop_oneof![
        (any::<Index>(), 1..=u8::MAX).prop_map(|(at, bits)| Blow::Flip { at, bits }),
        (any::<Index>(), vec(junk_byte(), 1..80)).prop_map(|(at, bytes)| Blow::Insert { at, bytes }),
        (any::<Index>(), 1..80_usize).prop_map(|(at, length)| Blow::Remove { at, length }),
        any::<Index>().prop_map(|at| Blow::Truncate { at }),
    ]
}

/// Signs begin everywhere in it.
fn junk_byte() -> impl Strategy<Value = u8> {
    prop_oneof![any::<u8>(), proptest::sample::select(RECORD_SIGN.to_vec()), Just(0)]
}

/// The file after the blows, byte by byte with where it came from.
fn strike(bytes: &[u8], blows: &[Blow]) -> Vec<(u8, Option<usize>)> {
    let mut struck: Vec<(u8, Option<usize>)> =
        bytes.iter().enumerate().map(|(at, byte)| (*byte, Some(at))).collect();
    for blow in blows {
        match blow {
            Blow::Flip { at, bits } if !struck.is_empty() => {
                let byte = at.index(struck.len());
                struck[byte] = (struck[byte].0 ^ bits, None);
            }
            Blow::Insert { at, bytes } => {
                let at = at.index(struck.len() + 1);
                struck.splice(at..at, bytes.iter().map(|byte| (*byte, None)));
            }
            Blow::Remove { at, length } => {
                let at = at.index(struck.len() + 1);
                struck.drain(at..struck.len().min(at + length));
            }
            Blow::Truncate { at } => struck.truncate(at.index(struck.len() + 1)),
            Blow::Flip { .. } => {}
        }
    }
    struck
}

/// Whether the bytes of this place are still there, together and in order.
fn is_untouched(struck: &[(u8, Option<usize>)], place: &Range<usize>) -> bool {
    let begin_opt = struck.iter().position(|(_, from_opt)| *from_opt == Some(place.start));
    let Some(rest) = begin_opt.and_then(|begin| struck.get(begin..begin + place.len())) else { return false };
    rest.iter().zip(place.clone()).all(|((_, from_opt), from)| *from_opt == Some(from))
}

/// Full of signs, but for its end: see `a_payload_that_ends_as_a_sign_begins_may_cost_the_next_record`.
fn payload(length_max: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(junk_byte(), 0..length_max).prop_map(|mut bytes| {
        bytes.push(b'.');
        bytes
    })
}

proptest! {
    #[test]
    fn whatever_happens_to_a_file_whole_records_are_found_and_no_others(
        payloads in vec(payload(120), 1..20),
        blows in vec(blow(), 0..6),
    ) {
        let (bytes, places) = lay_out(&payloads);
        let struck = strike(&bytes, &blows);
        let (found, damaged) = find(&struck.iter().map(|(byte, _)| *byte).collect::<Vec<_>>());
        for (number, payload) in &found {
            let at = usize::try_from(number - FIRST).unwrap();
            prop_assert_eq!(Some(payload), payloads.get(at), "never appended");
        }
        prop_assert!(found.is_sorted_by(|(before, _), (after, _)| before < after));
        for (number, _) in (FIRST..).zip(&places).filter(|(_, place)| is_untouched(&struck, place)) {
            prop_assert!(found.iter().any(|(other, _)| *other == number), "{} is whole", number);
        }
        prop_assert!(damaged <= found.len() + 1);
        if blows.is_empty() {
            prop_assert_eq!((found.len(), damaged), (payloads.len(), 0));
        }
    }

    #[test]
    fn a_piece_that_is_cut_is_not_judged_before_the_rest_is_there(
        payloads in vec(vec(junk_byte(), 0..60), 1..5),
        cut in any::<Index>(),
    ) {
        let (bytes, places) = lay_out(&payloads);
        let cut = cut.index(bytes.len());
        let place = places.iter().find(|place| place.contains(&cut)).unwrap();
        let judged = piece(SPOOL, &NUMBERS, &bytes[..cut.max(place.start + 1)], place.start, false);
        prop_assert_eq!(judged, Piece::Cut);
    }
}

#[test]
fn a_damaged_piece_ends_where_the_next_may_begin_even_when_that_is_cut() {
    let (mut bytes, places) = lay_out(&[vec![1; 50], vec![2; 50]]);
    bytes[30] ^= 1;
    let cut = &bytes[..places[1].start + 2];
    assert_eq!(piece(SPOOL, &NUMBERS, cut, 0, false), Piece::Damaged { end: places[1].start });
    assert_eq!(piece(SPOOL, &NUMBERS, cut, 0, true), Piece::Damaged { end: cut.len() });
}

#[test]
fn a_payload_that_ends_as_a_sign_begins_may_cost_the_next_record() {
    let payloads = [vec![b'a', SIGN_LETTER], b"b".to_vec(), b"c".to_vec()];
    let (mut bytes, places) = lay_out(&payloads);
    bytes.remove(places[0].end - 1);
    let (found, damaged) = find(&bytes);
    assert_eq!(found, [(FIRST, payloads[0].clone()), (FIRST + 2, payloads[2].clone())]);
    assert_eq!(damaged, 1);
}

#[test]
fn a_head_is_whole_or_none() {
    let head = Head { spool: SPOOL, first: FIRST, left_out: 3 };
    let mut bytes = Vec::new();
    write_head(&head, &mut bytes);
    assert_eq!((bytes.len(), read_head(&bytes)), (HEAD_BYTES, Some(head)));
    for at in 0..HEAD_BYTES {
        let mut struck = bytes.clone();
        struck[at] ^= 0x10;
        assert_eq!(read_head(&struck), None, "byte {at}");
        assert_eq!(read_head(&bytes[..at]), None, "{at} bytes");
    }
}

#[test]
fn a_last_word_tells_the_next_number() {
    let mut bytes = Vec::new();
    write_end(SPOOL, FIRST + 5, &mut bytes);
    let end = RECORD_BYTES_MIN;
    assert_eq!(piece(SPOOL, &NUMBERS, &bytes, 0, true), Piece::End { next: FIRST + 5, end });
    bytes[4] = 1;
    assert_eq!(piece(SPOOL, &NUMBERS, &bytes, 0, true), Piece::Damaged { end });
}

#[test]
fn what_another_spool_or_another_segment_has_written_is_no_record() {
    let (bytes, _) = lay_out(&[b"ours".to_vec()]);
    let damaged = Piece::Damaged { end: bytes.len() };
    assert_ne!(piece(SPOOL, &NUMBERS, &bytes, 0, true), damaged);
    assert_eq!(piece(Uuid::from_u128(8), &NUMBERS, &bytes, 0, true), damaged);
    assert_eq!(piece(SPOOL, &(FIRST + 1..FIRST + 2), &bytes, 0, true), damaged);
}

#[test]
fn no_text_holds_a_sign() {
    for sign in [RECORD_SIGN, END_SIGN] {
        assert!((2..=4).all(|length| str::from_utf8(&sign[..length]).is_err()));
    }
}

#[test]
fn the_greatest_record_is_written_and_found() {
    let (bytes, _) = lay_out(&[vec![9; PAYLOAD_BYTES_MAX]]);
    assert_eq!(find(&bytes).0.len(), 1);
}
