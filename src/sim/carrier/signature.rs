//! `X-Twilio-Signature`, as the carrier makes it.
//!
//! Knows nothing of HTTP; whoever checks it has code of their own.

use base64::{Engine, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Signs a URL and, for a form POST, its fields: names in byte order, each followed by its value; of equal
/// names each value once, in order.
pub(crate) fn sign(auth_token: &str, url: &str, fields: &[(String, String)]) -> String {
    let mut fields: Vec<_> = fields.iter().collect();
    fields.sort();
    fields.dedup();
    let mut mac =
        Hmac::<Sha1>::new_from_slice(auth_token.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(url.as_bytes());
    for (name, value) in fields {
        mac.update(name.as_bytes());
        mac.update(value.as_bytes());
    }
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    const TOKEN: &str = "9f3c1e7ab2d84056a1c7e0f4b65d2839";

    #[test]
    fn a_form_is_signed_as_the_reference_vectors_say() {
        let form = fields(&[
            ("AccountSid", "AC0123456789abcdef0123456789abcdef"),
            ("ApiVersion", "2010-04-01"),
            ("CallSid", "CAfedcba9876543210fedcba9876543210"),
            ("CallStatus", "ringing"),
            ("CallerName", ""),
            ("Called", "+14155550142"),
            ("Caller", "+12065550188"),
            ("Direction", "inbound"),
            ("From", "+12065550188"),
            ("FromCity", "SÃO PAULO"),
            ("StirVerstat", "TN-Validation-Passed-A"),
            ("To", "+14155550142"),
        ]);
        let url = "https://switch.example.net/twilio/voice/incoming?tenant=acme&leg=a";
        assert_eq!(sign(TOKEN, url, &form), "o60yKf5VdaKhQ6CT1nMflj7kfZ4=");
        let doubled = fields(&[("A", "2"), ("A", "1"), ("A", "1")]);
        assert_eq!(sign(TOKEN, "https://switch.example.net/dup", &doubled), "/3EQwoG1wuAbHKnVksj/W/zEvgk=");
    }

    #[test]
    fn an_upgrade_is_signed_by_its_url_alone() {
        let url = "wss://switch.example.net/twilio/media/7Qm2";
        assert_eq!(sign(TOKEN, url, &[]), "82VDmFA+Yuf/SRhNCLj4RWzTmuU=");
    }

    #[test]
    fn twilios_own_example_comes_out_the_same() {
        let form = fields(&[
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+14158675310"),
            ("Digits", "1234"),
            ("From", "+14158675310"),
            ("To", "+18005551212"),
        ]);
        let url = "https://example.com/myapp.php?foo=1&bar=2";
        assert_eq!(sign("12345", url, &form), "L/OH5YylLD5NRKLltdqwSvS0BnU=");
    }
}
