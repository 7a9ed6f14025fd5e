//! `multipart/form-data` (RFC 7578) as upload clients write it: named fields, of which some are files.
//!
//! Knows no field's meaning.

use bytes::Bytes;
use hyper::{HeaderMap, header};
use serde_json::{Map, Value, json};

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Form {
    pub(super) parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    /// Present for files.
    pub(super) filename: Option<String>,
    pub(super) content: Bytes,
}

impl Form {
    /// A whole body; `None` if it is no such form, or one that breaks off.
    pub(crate) fn read(headers: &HeaderMap, body: &Bytes) -> Option<Self> {
        let boundary = boundary(headers.get(header::CONTENT_TYPE)?.to_str().ok()?)?;
        let delimiter = format!("--{boundary}");
        let separator = format!("\r\n{delimiter}");
        let mut at = find(body, delimiter.as_bytes(), 0)? + delimiter.len();
        let mut parts = Vec::new();
        while !body[at..].starts_with(b"--") {
            let from = at + body[at..].starts_with(b"\r\n").then_some(2)?;
            let head_end = find(body, b"\r\n\r\n", from)?;
            let end = find(body, separator.as_bytes(), head_end)?;
            let head = str::from_utf8(&body[from..head_end]).ok()?;
            parts.push(Part::read(head, body.slice(head_end + 4..end.max(head_end + 4)))?);
            at = end + separator.len();
        }
        Some(Self { parts })
    }

    /// The text of a field that is none of a file; the last one counts.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let field = self.parts.iter().rev().find(|part| part.name == name && part.filename.is_none())?;
        str::from_utf8(&field.content).ok()
    }

    pub(super) fn file(&self, name: &str) -> Option<&Part> {
        self.parts.iter().find(|part| part.name == name && part.filename.is_some())
    }

    /// For the record: fields as texts, files as name and size.
    pub(crate) fn to_json(&self) -> Value {
        let field = |part: &Part| match &part.filename {
            Some(filename) => json!({"filename": filename, "bytes": part.content.len()}),
            None => json!(String::from_utf8_lossy(&part.content)),
        };
        Value::Object(self.parts.iter().map(|part| (part.name.clone(), field(part))).collect::<Map<_, _>>())
    }
}

impl Part {
    fn read(head: &str, content: Bytes) -> Option<Self> {
        let (_, disposition) = head
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-disposition"))?;
        let name = parameter(disposition, "name")?.to_owned();
        Some(Self { name, filename: parameter(disposition, "filename").map(str::to_owned), content })
    }
}

fn boundary(content_type: &str) -> Option<&str> {
    let is_form = content_type.get(..19)?.eq_ignore_ascii_case("multipart/form-data");
    parameter(content_type, "boundary").filter(|boundary| is_form && !boundary.is_empty())
}

/// `name=value` or `name="value"` after a semicolon.
fn parameter<'a>(header: &'a str, name: &str) -> Option<&'a str> {
    header.split(';').skip(1).find_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    })
}

/// Where this begins in the bytes, not before `from`.
fn find(bytes: &[u8], wanted: &[u8], from: usize) -> Option<usize> {
    bytes.get(from..)?.windows(wanted.len()).position(|window| window == wanted).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content_type: &str, body: &[u8]) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        Form::read(&headers, &Bytes::copy_from_slice(body))
    }

    const BODY: &[u8] = b"--xyz\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nwhisper-1\r\n\
        --xyz\r\ncontent-disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\ncontent-type: audio/wav\r\n\r\n\
        \x00\r\n--xy\xFF\r\n\r\n--xyz--\r\n";

    #[test]
    fn fields_and_files_are_found_whatever_is_in_them() {
        for content_type in
            ["multipart/form-data; boundary=xyz", "Multipart/Form-Data; charset=utf-8; boundary=\"xyz\""]
        {
            let form = read(content_type, BODY).unwrap();
            assert_eq!((form.text("model"), form.text("file")), (Some("whisper-1"), None));
            assert_eq!(&form.file("file").unwrap().content[..], b"\x00\r\n--xy\xFF\r\n");
            assert_eq!(
                form.to_json(),
                json!({"model": "whisper-1", "file": {"filename": "a.wav", "bytes": 10}})
            );
        }
        assert_eq!(read("multipart/form-data; boundary=xyz", b"--xyz--\r\n").unwrap().parts, []);
    }

    #[test]
    fn what_is_no_whole_form_is_none() {
        assert_eq!(read("application/json", BODY), None);
        assert_eq!(read("multipart/form-data", BODY), None);
        assert_eq!(read("multipart/form-data; boundary=", BODY), None);
        assert_eq!(read("multipart/form-data; boundary=other", BODY), None);
        for end in 0..BODY.len() - 4 {
            assert_eq!(read("multipart/form-data; boundary=xyz", &BODY[..end]), None, "cut at {end}");
        }
    }
}
