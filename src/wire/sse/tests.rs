use proptest::prelude::*;

use super::*;

/// What comes of `text` when it arrives in pieces that end at each of `cuts`.
fn read_cut(text: &[u8], cuts: &[usize], bytes_max: usize) -> Result<Vec<String>, EventTooLong> {
    let mut reader = EventReader::new(bytes_max);
    let mut events = VecDeque::new();
    let mut from = 0;
    for &cut in cuts.iter().chain([&text.len()]) {
        reader.read(&text[from..cut], &mut events)?;
        from = cut;
    }
    reader.finish(&mut events);
    Ok(events.into())
}

fn read(text: &str) -> Vec<String> {
    read_cut(text.as_bytes(), &[], 1024).unwrap()
}

#[test]
fn events_come_as_their_data() {
    assert_eq!(read("data: one\n\ndata:two\n\ndata:  three\n\n"), ["one", "two", " three"]);
    assert_eq!(read("data: a\ndata:\ndata\ndata: b\n\n"), ["a\n\n\nb"]);
}

#[test]
fn lines_end_in_any_of_the_three_ways() {
    for end in ["\n", "\r\n", "\r"] {
        let text = "data: one|data: more||data: two||".replace('|', end);
        assert_eq!(read(&text), ["one\nmore", "two"], "{end:?}");
    }
}

#[test]
fn what_is_no_data_is_passed_over() {
    let text = ": hello\nevent: message\nid: 7\nretry: soon\nerror: {}\nno colon\ndata: one\ndatum: x\n\n";
    assert_eq!(read(text), ["one"]);
    assert_eq!(read("\n\n: keep alive\n\nevent: ping\n\ndata\n\ndata: \n\n"), [""; 0]);
}

#[test]
fn the_last_event_needs_no_blank_line() {
    for end in ["", "\n", "\r", "\r\n", "\n\n"] {
        assert_eq!(read(&format!("data: one\n\ndata: [DONE]{end}")), ["one", "[DONE]"], "{end:?}");
    }
}

#[test]
fn a_byte_order_mark_is_no_part_of_the_first_field() {
    assert_eq!(read("\u{feff}data: one\n\ndata: \u{feff}\n\n"), ["one", "\u{feff}"]);
}

#[test]
fn bytes_that_are_no_text_become_replacement_characters() {
    assert_eq!(read_cut(b"data: a\xffb\n\n", &[], 64).unwrap(), ["a\u{fffd}b"]);
}

#[test]
fn an_event_has_a_bound_and_a_stream_has_none() {
    let longest = format!("data: {}\n\n", "x".repeat(58));
    let stream = longest.repeat(100);
    assert_eq!(read_cut(stream.as_bytes(), &[], 64).unwrap().len(), 100);
    for too_long in [
        format!("data: {}\n\n", "x".repeat(59)),
        format!("data: {}\ndata: {}\n\n", "x".repeat(40), "x".repeat(30)),
        ":".repeat(65),
    ] {
        assert_eq!(read_cut(too_long.as_bytes(), &[], 64), Err(EventTooLong(64)), "{too_long}");
    }
    assert_eq!(EventTooLong(64).to_string(), "an event of more than 64 bytes");
}

#[test]
fn every_cut_in_two_and_in_three_changes_nothing() {
    let text = "\u{feff}data: größer\r\n\r\n:\rdata: 😀\rdata: b\r\r\ndata: [DONE]\n".as_bytes();
    let whole = read_cut(text, &[], 1024).unwrap();
    assert_eq!(whole, ["größer", "😀\nb", "[DONE]"]);
    for first in 0..=text.len() {
        for second in first..=text.len() {
            assert_eq!(read_cut(text, &[first, second], 1024).unwrap(), whole, "cut at {first}, {second}");
        }
    }
}

proptest! {
    #[test]
    fn cuts_change_neither_events_nor_the_bound(
        text in prop::collection::vec(prop::sample::select(b"data: x\n\r\xc3\xa4".as_slice()), 0..200),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        prop_assert_eq!(read_cut(&text, &cuts, 24), read_cut(&text, &[], 24));
    }

    #[test]
    fn what_was_written_is_read(events in prop::collection::vec("[^\r\n]{0,20}x[^\r\n]{0,20}", 0..8)) {
        let text = events.iter().flat_map(|data| ["event: e\ndata: ", data, "\n\n"]).collect::<String>();
        prop_assert_eq!(read(&text), events);
    }
}
