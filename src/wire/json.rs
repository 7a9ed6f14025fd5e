//! JSON of the frame path: a cursor that reads flat messages borrowed and in one pass, and the escaping of strings.
//! Knows no message, and no JSON beyond the common case: at the first thing it does not understand it gives up, and
//! its caller asks `serde_json`, which is the judge of what is valid.

/// A place in JSON text. Every reader answers `None` for what is not the common case (an escaped string, a literal, a
/// fraction, wrong syntax); the cursor is of no use after that.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Reads an object, handing each key to `field`, which must read the value.
    pub(crate) fn object(&mut self, mut field: impl FnMut(&mut Self, &'a str) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        loop {
            let key = self.string()?;
            self.take(b':')?;
            field(self, key)?;
            match self.next()? {
                b',' => {}
                b'}' => return Some(()),
                _ => return None,
            }
        }
    }

    /// Reads a string that has no escapes, so that it can be borrowed as it stands.
    pub(crate) fn string(&mut self) -> Option<&'a str> {
        self.take(b'"')?;
        let start = self.at;
        let end = start + plain_len(self.text.as_bytes().get(start..)?);
        self.at = end + 1;
        (self.text.as_bytes().get(end) == Some(&b'"')).then(|| self.text.get(start..end))?
    }

    /// Reads a whole number, written as a number or as a string: `104` or `"104"`.
    pub(crate) fn whole(&mut self) -> Option<u64> {
        if self.peek()? == b'"' {
            return self.string()?.parse().ok();
        }
        let rest = self.text.get(self.at..)?;
        let len = rest.bytes().take_while(u8::is_ascii_digit).count();
        if len > 1 && rest.starts_with('0') {
            return None;
        }
        self.at += len;
        rest.get(..len)?.parse().ok()
    }

    /// Makes sure that nothing but white space follows.
    pub(crate) fn end(mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        (self.next()? == byte).then_some(())
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    /// The next byte that is not white space, not yet consumed.
    fn peek(&mut self) -> Option<u8> {
        loop {
            let byte = *self.text.as_bytes().get(self.at)?;
            if byte > b' ' || !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
    }
}

/// Puts `value` into an empty `slot`. A second value for the same key is not the common case.
pub(crate) fn fill<T>(slot: &mut Option<T>, value: T) -> Option<()> {
    if slot.is_some() {
        return None;
    }
    *slot = Some(value);
    Some(())
}

/// Appends `text` as the inside of a JSON string.
pub(crate) fn push_escaped(out: &mut String, text: &str) {
    let mut rest = text;
    loop {
        let (plain, special) = rest.split_at(plain_len(rest.as_bytes()));
        out.push_str(plain);
        let mut chars = special.chars();
        match chars.next() {
            None => return,
            Some(quoted @ ('"' | '\\')) => out.extend(['\\', quoted]),
            Some(control) => {
                let code = u32::from(control);
                out.push_str("\\u00");
                out.extend(
                    [code >> 4, code & 0xf].into_iter().filter_map(|digit| char::from_digit(digit, 16)),
                );
            }
        }
        rest = chars.as_str();
    }
}

/// How many leading bytes stand for themselves in a JSON string: up to a quote, a backslash or a control character.
fn plain_len(bytes: &[u8]) -> usize {
    // Keys and ids end within the first block. A payload has 216 bytes and more: skipping whole blocks of it without a
    // branch per byte becomes vector instructions.
    const BLOCK: usize = 32;
    let is_plain =
        |block: &[u8; BLOCK]| block.iter().fold(0, |hits, &byte| hits | u8::from(is_special(byte))) == 0;
    let head = plain_words_len(bytes.get(..BLOCK).unwrap_or(bytes));
    if head < BLOCK {
        return head;
    }
    let (blocks, _) = bytes.as_chunks();
    let start = blocks.iter().take_while(|block| is_plain(block)).count() * BLOCK;
    start + bytes.get(start..).map_or(0, plain_words_len)
}

/// The same, eight bytes at a time.
fn plain_words_len(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let hits = special_bytes(u64::from_le_bytes(*word));
        if hits != 0 {
            return index * 8 + hits.trailing_zeros() as usize / 8;
        }
    }
    words.len() * 8 + tail.iter().position(|&byte| is_special(byte)).unwrap_or(tail.len())
}

/// Marks the special bytes of a word with their top bits. Above the lowest mark there may be false ones.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    // Subtracting `n` from a smaller byte borrows, which sets a top bit that was not set.
    let below = |word: u64, n: u8| word.wrapping_sub(ONES * u64::from(n)) & !word & TOPS;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, b' ') | equal(b'"') | equal(b'\\')
}

fn is_special(byte: u8) -> bool {
    matches!(byte, ..b' ' | b'"' | b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_special_byte_is_found_wherever_it_stands_and_whatever_follows() {
        for special in (0..b' ').chain(*b"\"\\") {
            for at in 0..100 {
                for follower in [0, b'!', b'#', b'"', b'[', b']', 0x7f, 0x80, 0xa2, 0xff] {
                    let mut bytes = [b'x'; 100];
                    bytes[at..].fill(follower);
                    bytes[at] = special;
                    assert_eq!(plain_len(&bytes), at, "{special:#x} at {at}, then {follower:#x}");
                }
            }
        }
    }

    #[test]
    fn every_other_byte_is_plain() {
        for byte in (0x20..=0xff).filter(|byte| !b"\"\\".contains(byte)) {
            for len in 0..100 {
                assert_eq!(plain_len(&vec![byte; len]), len, "{byte:#x}");
            }
        }
    }

    #[test]
    fn the_cursor_gives_up_on_what_is_not_the_common_case() {
        let whole = |text| Cursor::new(text).whole();
        assert_eq!((whole("104,"), whole("\"104\""), whole(" 0")), (Some(104), Some(104), Some(0)));
        for text in ["", "-1", "007", "null", "\"1", "\"x\"", "99999999999999999999"] {
            assert_eq!(whole(text), None, "{text}");
        }
        let string = |text| Cursor::new(text).string();
        assert_eq!((string("\"\""), string("\t\"é\"")), (Some(""), Some("é")));
        for text in ["", "\"", "\"a", "\"a\\\"\"", "\"a\n\"", "5", "\u{b}\"a\""] {
            assert_eq!(string(text), None, "{text:?}");
        }
        let object = |text| Cursor::new(text).object(|cursor, _| cursor.string().map(drop));
        assert_eq!(object("{\"a\":\"b\",\"c\":\"d\"}"), Some(()));
        for text in
            ["", "{}", "{\"a\"}", "{\"a\":\"b\"", "{\"a\":\"b\" \"c\":\"d\"}", "{\"a\":\"b\",}", "[\"a\"]"]
        {
            assert_eq!(object(text), None, "{text}");
        }
    }
}
