//! The body of a carrier's request: `application/x-www-form-urlencoded`, decoded to the byte.
//! Knows no field: which ones matter is the caller's to know, and a signature covers them all.

use std::borrow::Cow;
use std::fmt;

/// The fields of a form, in the order they came. Bytes, not text: a signature covers what came, valid UTF-8 or not.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Form {
    fields: Vec<Field>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Field {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Reads a body, or the query string of a `GET`. Anything is a form: a percent sign that begins no escape stands for
/// itself, a field without `=` has an empty value, and between two `&` there need not be a field.
pub fn parse(body: &[u8]) -> Form {
    let pieces = body.split(|&byte| byte == b'&').filter(|piece| !piece.is_empty());
    let fields = pieces.map(|piece| {
        let mut halves = piece.splitn(2, |&byte| byte == b'=');
        let mut half = || decode(halves.next().unwrap_or_default());
        Field { name: half(), value: half() }
    });
    Form { fields: fields.collect() }
}

impl Form {
    /// The first value of the field `name`. What is not UTF-8 in it is replaced.
    pub fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        let field = self.fields.iter().find(|field| field.name == name.as_bytes())?;
        Some(String::from_utf8_lossy(&field.value))
    }

    /// Every field as often as it came; what is not UTF-8 is replaced.
    pub fn iter(&self) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
        let text = |bytes| String::from_utf8_lossy(bytes);
        self.fields.iter().map(move |field| (text(&field.name), text(&field.value)))
    }

    /// The fields as the carrier signs them: by name, then by value, each pair once.
    pub(crate) fn into_signed_order(self) -> Vec<Field> {
        let mut fields = self.fields;
        fields.sort_unstable();
        fields.dedup();
        fields
    }
}

fn decode(piece: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(piece.len());
    let mut rest = piece;
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(nibble(*high) << 4 | nibble(*low));
                rest = after;
            }
            (byte, _) => bytes.push(*byte),
        }
    }
    bytes
}

/// The value of a hexadecimal digit.
fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20) - b'a' + 10,
    }
}

impl fmt::Debug for Form {
    /// Names only: values are phone numbers, tokens and what callers said.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_from_percent_and_plus() {
        let form = parse(b"FromCity=S%C3%83O+PAULO&From=%2B12065550188&CallerName=&Bare");
        assert_eq!(form.get("FromCity").as_deref(), Some("SÃO PAULO"));
        assert_eq!(form.get("From").as_deref(), Some("+12065550188"));
        assert_eq!(form.get("CallerName").as_deref(), Some(""));
        assert_eq!(form.get("Bare").as_deref(), Some(""));
        assert_eq!(form.get("from"), None, "names are case-sensitive");
    }

    #[test]
    fn the_first_of_repeated_fields_wins_and_all_are_listed() {
        let form = parse(b"A=2&&A=1&A=1&");
        assert_eq!(form.get("A").as_deref(), Some("2"));
        assert_eq!(form.iter().map(|(_, value)| value.into_owned()).collect::<Vec<_>>(), ["2", "1", "1"]);
    }

    #[test]
    fn an_equals_sign_may_stand_in_a_value() {
        assert_eq!(parse(b"StirPassportToken=a=b==").get("StirPassportToken").as_deref(), Some("a=b=="));
    }

    #[test]
    fn broken_escapes_stand_for_themselves() {
        for (body, value) in
            [("a=%", "%"), ("a=%4", "%4"), ("a=%zz%41", "%zzA"), ("a=%%41", "%A"), ("a=%4g", "%4g")]
        {
            assert_eq!(parse(body.as_bytes()).get("a").as_deref(), Some(value), "{body}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_kept_for_the_signature() {
        let form = parse(b"a=%FF%fe");
        assert_eq!(form.get("a").as_deref(), Some("\u{fffd}\u{fffd}"));
        assert_eq!(form.into_signed_order()[0].value, [0xff, 0xfe]);
    }

    #[test]
    fn debug_output_shows_no_value() {
        assert_eq!(format!("{:?}", parse(b"CallToken=secret&From=%2B1206")), r#"["CallToken", "From"]"#);
    }
}
