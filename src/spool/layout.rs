//! How records lie in a segment: a head, then one record after the other, and a last word if the spool was closed in
//! order.
//!
//! Pure. It refuses to know files, and what records mean.
//!
//! | bytes | head | | bytes | record, last word |
//! |---|---|---|---|---|
//! | 8 | `TNDSPL` and the version | | 4 | a sign that no text holds |
//! | 16 | the spool's identity | | 4 | length of the payload; 0 in the last word |
//! | 8 | number of the first record | | 8 | number; in the last word that of the next record |
//! | 8 | numbers left out before it | | 4 | checksum |
//! | 4 | checksum | | | payload |
//!
//! Integers are little-endian. Checksums (CRC-32C) cover the spool's identity and everything else: a record of another
//! spool is none. After a damaged place the next record is found by its sign, whatever bytes came, went or changed
//! before it. So a record whose own bytes are whole is found, and what was never written is taken for a record only when
//! sign, a number of this segment and checksum all agree by chance. One exception needs a payload that is no text: when
//! it ends as a sign begins, and just these bytes go, the next record's sign completes it and that record is missing.

use std::ops::Range;

use crc::{CRC_32_ISCSI, Crc, Table};
use uuid::Uuid;

/// A call's whole record with an hour of turns is some 100 KiB. The reader's window is as large.
pub(super) const PAYLOAD_BYTES_MAX: usize = 1 << 20;
pub(super) const HEAD_BYTES: usize = 44;
/// What a record takes beside its payload.
pub(super) const RECORD_BYTES_MIN: usize = 20;

const HEAD_SIGN: &[u8; 8] = b"TNDSPL\x00\x01";
/// Signs share their first letter, which UTF-8 allows before none of the others: text in a payload looks like no record.
const SIGN_LETTER: u8 = 0xd7;
const RECORD_SIGN: [u8; 4] = [SIGN_LETTER, b'r', b'e', b'c'];
const END_SIGN: [u8; 4] = [SIGN_LETTER, b'e', b'n', b'd'];

/// Sixteen tables of 1 KiB: sixteen bytes at a step instead of one.
static CRC: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) spool: Uuid,
    /// The number of the segment's first record.
    pub(super) first: u64,
    /// Numbers before it that no record has.
    pub(super) left_out: u64,
}

/// What is found at one place of a segment; places are offsets into the bytes that were given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    Record {
        number: u64,
        payload: Range<usize>,
    },
    /// The spool was closed in order; the next record has this number.
    End {
        next: u64,
        end: usize,
    },
    /// No record lies before `end`.
    Damaged {
        end: usize,
    },
    /// The bytes end before this piece does.
    Cut,
}

pub(super) fn write_head(head: &Head, bytes: &mut Vec<u8>) {
    let begin = bytes.len();
    bytes.extend_from_slice(HEAD_SIGN);
    bytes.extend_from_slice(head.spool.as_bytes());
    bytes.extend_from_slice(&head.first.to_le_bytes());
    bytes.extend_from_slice(&head.left_out.to_le_bytes());
    let checksum = CRC.checksum(&bytes[begin..]);
    bytes.extend_from_slice(&checksum.to_le_bytes());
}

pub(super) fn read_head(bytes: &[u8]) -> Option<Head> {
    let head = bytes.get(..HEAD_BYTES)?;
    let (told, checksum) = head.split_at(HEAD_BYTES - 4);
    let whole = told.starts_with(HEAD_SIGN) && CRC.checksum(told).to_le_bytes() == checksum;
    whole.then_some(Head {
        spool: Uuid::from_bytes(array(told, 8)?),
        first: u64::from_le_bytes(array(told, 24)?),
        left_out: u64::from_le_bytes(array(told, 32)?),
    })
}

/// Payloads are at most [`PAYLOAD_BYTES_MAX`] long: the queue takes no others.
pub(super) fn write_record(spool: Uuid, number: u64, payload: &[u8], bytes: &mut Vec<u8>) {
    write(spool, RECORD_SIGN, number, payload, bytes);
}

pub(super) fn write_end(spool: Uuid, next: u64, bytes: &mut Vec<u8>) {
    write(spool, END_SIGN, next, &[], bytes);
}

fn write(spool: Uuid, sign: [u8; 4], number: u64, payload: &[u8], bytes: &mut Vec<u8>) {
    let length = u32::try_from(payload.len()).expect("payloads are at most 1 MiB long").to_le_bytes();
    let number = number.to_le_bytes();
    let checksum = checksum(spool, &[&sign, &length, &number, payload]);
    for part in [&sign[..], &length, &number, &checksum.to_le_bytes(), payload] {
        bytes.extend_from_slice(part);
    }
}

/// What is at `at`, which lies within `bytes`. `numbers` are those that this segment can hold. Unless the bytes end
/// with the segment (`whole`), a piece that they cut is not judged; given from its beginning with a record's greatest
/// length behind it, no piece is cut.
pub(super) fn piece(spool: Uuid, numbers: &Range<u64>, bytes: &[u8], at: usize, whole: bool) -> Piece {
    match parse(spool, numbers, bytes, at) {
        Parsed::Piece(piece) => piece,
        Parsed::Cut if !whole => Piece::Cut,
        Parsed::Cut | Parsed::Nothing => {
            Piece::Damaged { end: next_piece(spool, numbers, bytes, at + 1, whole) }
        }
    }
}

fn next_piece(spool: Uuid, numbers: &Range<u64>, bytes: &[u8], from: usize, whole: bool) -> usize {
    let is_one = |at: &usize| match parse(spool, numbers, bytes, *at) {
        Parsed::Piece(_) => true,
        Parsed::Cut => !whole,
        Parsed::Nothing => false,
    };
    let signs = (from..bytes.len()).filter(|at| bytes[*at] == SIGN_LETTER);
    signs.into_iter().find(is_one).unwrap_or(bytes.len())
}

enum Parsed {
    Piece(Piece),
    Cut,
    Nothing,
}

fn parse(spool: Uuid, numbers: &Range<u64>, bytes: &[u8], at: usize) -> Parsed {
    let rest = &bytes[at..];
    let seen = &rest[..rest.len().min(4)];
    let is_end = END_SIGN.starts_with(seen);
    if !is_end && !RECORD_SIGN.starts_with(seen) {
        return Parsed::Nothing;
    }
    let fields = || Some((array::<4>(rest, 0)?, array(rest, 4)?, array(rest, 8)?, array(rest, 16)?));
    let Some((sign, length_bytes, number_bytes, told)) = fields() else { return Parsed::Cut };
    let number = u64::from_le_bytes(number_bytes);
    let length = u32::from_le_bytes(length_bytes) as usize;
    if length > PAYLOAD_BYTES_MAX || is_end && length > 0 || !numbers.contains(&number) {
        return Parsed::Nothing;
    }
    let Some(payload) = rest.get(RECORD_BYTES_MIN..RECORD_BYTES_MIN + length) else { return Parsed::Cut };
    if checksum(spool, &[&sign, &length_bytes, &number_bytes, payload]) != u32::from_le_bytes(told) {
        return Parsed::Nothing;
    }
    let begin = at + RECORD_BYTES_MIN;
    Parsed::Piece(if is_end {
        Piece::End { next: number, end: begin }
    } else {
        Piece::Record { number, payload: begin..begin + length }
    })
}

fn checksum(spool: Uuid, parts: &[&[u8]]) -> u32 {
    let mut digest = CRC.digest();
    digest.update(spool.as_bytes());
    for part in parts {
        digest.update(part);
    }
    digest.finalize()
}

fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
mod tests;
