//! Server-sent events, the framing in which models stream their answers (HTML standard, section 9.2.6).
//! Knows no event by name and resumes nothing: the caller of a model has no use for either.
//!
//! Our own reader, because an event must have a bound, a field that nobody knows must be passed over as the standard
//! asks, and a last event without its blank line must not be lost.

use std::collections::VecDeque;
use std::{fmt, mem};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Cuts a stream of bytes into the data of its events.
#[derive(Debug)]
pub struct EventReader {
    bytes_max: usize,
    line: Vec<u8>,
    /// The lines of data so far, each with a line feed behind it.
    data: Vec<u8>,
    /// The bytes so far ended in a carriage return: a line feed at the start of the next ones belongs to it.
    after_return: bool,
    before_first_line: bool,
}

/// An event, or a line that belongs to none, is longer than so many bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTooLong(pub usize);

impl EventReader {
    /// Holds no more than `bytes_max` of an event that is not whole yet.
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, line: Vec::new(), data: Vec::new(), after_return: false, before_first_line: true }
    }

    /// Reads on, wherever the bytes are cut, and adds the data of each event that is whole now. What is no UTF-8 comes
    /// as replacement characters, events without data do not come at all.
    pub fn read(&mut self, mut bytes: &[u8], events: &mut VecDeque<String>) -> Result<(), EventTooLong> {
        if let Some(&first) = bytes.first()
            && mem::take(&mut self.after_return)
            && first == b'\n'
        {
            bytes = &bytes[1..];
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\n' | b'\r')) {
            self.extend_line(&bytes[..end])?;
            self.end_line(events);
            self.after_return = bytes[end..] == *b"\r";
            let both = bytes[end..].starts_with(b"\r\n");
            bytes = &bytes[end + if both { 2 } else { 1 }..];
        }
        self.extend_line(bytes)
    }

    /// The stream has ended. Its last event counts as whole: some servers end without the blank line.
    pub fn finish(&mut self, events: &mut VecDeque<String>) {
        self.end_line(events);
        self.end_event(events);
    }

    fn extend_line(&mut self, bytes: &[u8]) -> Result<(), EventTooLong> {
        if self.data.len() + self.line.len() + bytes.len() > self.bytes_max {
            return Err(EventTooLong(self.bytes_max));
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, events: &mut VecDeque<String>) {
        let mut line = mem::take(&mut self.line);
        if mem::take(&mut self.before_first_line) && line.starts_with(BYTE_ORDER_MARK) {
            line.drain(..BYTE_ORDER_MARK.len());
        }
        if line.is_empty() {
            self.end_event(events);
        } else if let Some(data) = data_of(&line) {
            self.data.extend_from_slice(data);
            self.data.push(b'\n');
        }
        line.clear();
        self.line = line; // its memory serves the next line
    }

    fn end_event(&mut self, events: &mut VecDeque<String>) {
        if !self.data.trim_ascii().is_empty() {
            self.data.pop();
            events.push_back(String::from_utf8_lossy(&self.data).into_owned());
        }
        self.data.clear();
    }
}

/// The value, if the line's field is `data`. One space after the colon belongs to the colon.
fn data_of(line: &[u8]) -> Option<&[u8]> {
    match line.strip_prefix(b"data")? {
        [] => Some(&[]),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}

impl fmt::Display for EventTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event of more than {} bytes", self.0)
    }
}

impl std::error::Error for EventTooLong {}

#[cfg(test)]
mod tests;
