//! Vectors V1-V5 were computed for this project with invented ids and pass Twilio's Python validator; the two public
//! ones are from Twilio's security page and from that validator's own tests.

use super::*;

const TOKEN: &str = "9f3c1e7ab2d84056a1c7e0f4b65d2839";
const TOKENS: &[&str] = &[TOKEN];

const V1_URL: &str = "https://switch.example.net/twilio/voice/incoming?tenant=acme&leg=a";
const V1_BODY: &[u8] = b"AccountSid=AC0123456789abcdef0123456789abcdef&ApiVersion=2010-04-01\
    &CallSid=CAfedcba9876543210fedcba9876543210&CallStatus=ringing&CallerName=&Called=%2B14155550142\
    &Caller=%2B12065550188&Direction=inbound&From=%2B12065550188&FromCity=S%C3%83O+PAULO\
    &StirVerstat=TN-Validation-Passed-A&To=%2B14155550142";
const V1: &str = "o60yKf5VdaKhQ6CT1nMflj7kfZ4=";
const V1_SIGNED_WITH_443: &str = "XnoL3a4M6wCrwxFKhxtLpBYDFSw=";
const V1_SIGNED_WITH_8443: &str = "jYHJ0uOwM7UKZyOKO0woiOOomNQ=";

const V2_URL: &str = "https://switch.example.net/twilio/voice/status?tenant=acme\
    &CallSid=CAfedcba9876543210fedcba9876543210&AccountSid=AC0123456789abcdef0123456789abcdef&CallStatus=completed\
    &CallDuration=37&From=%2B12065550188&To=%2B14155550142&Timestamp=Fri%2C+20+Nov+2026+21%3A05%3A09+%2B0000";
const V2: &str = "OxEOwVQiJh+n3hRkP1m8BZZqVt4=";

const V3_URL: &str = "wss://switch.example.net/twilio/media/7Qm2";
const V3: &str = "82VDmFA+Yuf/SRhNCLj4RWzTmuU=";

const V4_URL: &str = "https://switch.example.net/twilio/json?bodySHA256=\
    d406f0ddcc9f3a47ae5b076057c439f8e257c58f4f7bfe65b62c8741d4e295f4";
const V4_BODY: &[u8] = br#"{"event":"stream-started","streamSid":"MZ00112233445566778899aabbccddeeff"}"#;
const V4: &str = "FQqhggThFvj1mQZ2c4XVXiyiBa0=";

#[test]
fn we_sign_as_the_carrier_does() {
    let page =
        b"CallSid=CA1234567890ABCDE&Caller=%2B14158675310&Digits=1234&From=%2B14158675310&To=%2B18005551212";
    let python =
        b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";
    for (token, url, body, signature) in [
        (TOKEN, V1_URL, V1_BODY, V1),
        (
            TOKEN,
            "https://switch.example.net:443/twilio/voice/incoming?tenant=acme&leg=a",
            V1_BODY,
            V1_SIGNED_WITH_443,
        ),
        (
            TOKEN,
            "https://switch.example.net:8443/twilio/voice/incoming?tenant=acme&leg=a",
            V1_BODY,
            V1_SIGNED_WITH_8443,
        ),
        (TOKEN, V2_URL, b"", V2),
        (TOKEN, V3_URL, b"", V3),
        (TOKEN, "wss://switch.example.net/twilio/media/7Qm2/", b"", "FhxCv0Uhg2aErgY6J+zYd1Ywhak="),
        (TOKEN, "wss://switch.example.net", b"", "UXcv66/MEJWR7b+mIQVQWDtzSrY="),
        (TOKEN, "wss://switch.example.net/", b"", "+HtIuPzZHlLuG+PbTj/wuQYtNCg="),
        (TOKEN, V4_URL, b"", V4),
        (TOKEN, "https://switch.example.net/dup", b"A=2&A=1&A=1", "/3EQwoG1wuAbHKnVksj/W/zEvgk="),
        ("12345", "https://example.com/myapp.php?foo=1&bar=2", page, "L/OH5YylLD5NRKLltdqwSvS0BnU="),
        ("12345", "https://mycompany.com/myapp.php?foo=1&bar=2", python, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
    ] {
        assert_eq!(sign(token, url, body), signature, "{url}");
        assert!(verify_post(&[token], url, body, signature), "{url}");
    }
}

#[test]
fn a_form_verifies_whether_its_port_was_signed_or_not() {
    let at_8443 = "https://switch.example.net:8443/twilio/voice/incoming?tenant=acme&leg=a";
    assert!(verify_post(TOKENS, at_8443, V1_BODY, V1), "received on a port that was not signed");
    assert!(verify_post(TOKENS, at_8443, V1_BODY, V1_SIGNED_WITH_8443));
    assert!(verify_post(TOKENS, V1_URL, V1_BODY, V1_SIGNED_WITH_443), "the scheme's own port was signed");
    assert!(!verify_post(TOKENS, V1_URL, V1_BODY, V1_SIGNED_WITH_8443), "a port we do not know of");
    let plain = sign(TOKEN, "http://127.0.0.1:8765/twilio/voice", b"A=1");
    assert!(verify_post(TOKENS, "http://127.0.0.1:8765/twilio/voice", b"A=1", &plain));
    let port_80 = sign(TOKEN, "http://[::1]:80/twilio/voice", b"A=1");
    assert!(verify_post(TOKENS, "http://[::1]/twilio/voice", b"A=1", &port_80));
}

#[test]
fn overrides_and_credentials_in_the_url_are_not_signed() {
    let url = "https://user:p%40ss@switch.example.net/twilio/voice/incoming?tenant=acme&leg=a#rc=2&rt=4000";
    assert!(verify_post(TOKENS, url, V1_BODY, V1));
}

#[test]
fn the_order_of_fields_in_the_body_does_not_matter_but_every_byte_of_them_does() {
    let reversed: Vec<&[u8]> = V1_BODY.rsplit(|&byte| byte == b'&').collect();
    assert!(verify_post(TOKENS, V1_URL, &reversed.join(&b'&'), V1));
    let changed = String::from_utf8(V1_BODY.to_vec()).unwrap().replace("ringing", "ringing+");
    assert!(!verify_post(TOKENS, V1_URL, changed.as_bytes(), V1));
    let dropped = String::from_utf8(V1_BODY.to_vec()).unwrap().replace("&CallerName=", "");
    assert!(!verify_post(TOKENS, V1_URL, dropped.as_bytes(), V1), "an empty field is signed by its name");
}

#[test]
fn a_form_that_is_no_text_is_signed_byte_for_byte() {
    let signature = sign(TOKEN, V1_URL, b"a=%FF%FE");
    assert!(verify_post(TOKENS, V1_URL, b"a=%ff%fe", &signature));
    assert!(!verify_post(TOKENS, V1_URL, b"a=%FF%FF", &signature), "both would be replacement characters");
}

#[test]
fn a_get_is_signed_by_its_query_as_it_was_sent() {
    assert!(verify_get(TOKENS, V2_URL, V2));
    assert!(!verify_get(TOKENS, &V2_URL.replace("%2C", ","), V2));
}

#[test]
fn a_json_body_needs_both_its_hash_and_the_signature() {
    assert!(verify_json(TOKENS, V4_URL, V4_BODY, V4));
    assert!(!verify_json(TOKENS, V4_URL, b"{}", V4), "another body");
    assert!(!verify_json(TOKENS, V4_URL, V4_BODY, V3), "another signature");
    let without = "https://switch.example.net/twilio/json";
    assert!(
        !verify_json(TOKENS, without, V4_BODY, &sign(TOKEN, without, b"")),
        "nothing vouches for the body"
    );
}

#[test]
fn an_upgrade_verifies_in_each_form_the_carrier_may_sign_and_says_which() {
    for signed in [
        "wss://switch.example.net/twilio/media/7Qm2",
        "wss://switch.example.net/twilio/media/7Qm2/",
        "wss://switch.example.net:443/twilio/media/7Qm2",
        "wss://switch.example.net:443/twilio/media/7Qm2/",
        "https://switch.example.net/twilio/media/7Qm2",
        "https://switch.example.net/twilio/media/7Qm2/",
    ] {
        let signature = sign(TOKEN, signed, b"");
        assert_eq!(verify_upgrade(TOKENS, V3_URL, &signature).as_deref(), Some(signed));
    }
    assert_eq!(verify_upgrade(TOKENS, V3_URL, V3).as_deref(), Some(V3_URL));
    assert_eq!(
        verify_upgrade(TOKENS, V3_URL, &sign(TOKEN, "wss://other.example.net/twilio/media/7Qm2", b"")),
        None
    );
}

#[test]
fn a_trailing_slash_of_ours_is_toggled_away_too() {
    let bare = "wss://switch.example.net";
    let signature = sign(TOKEN, bare, b"");
    assert_eq!(verify_upgrade(TOKENS, "wss://switch.example.net/", &signature).as_deref(), Some(bare));
}

#[test]
fn an_upgrade_on_a_port_of_our_own_verifies_with_and_without_it() {
    let url = "ws://127.0.0.1:8765/twilio/media";
    for signed in [
        url,
        "ws://127.0.0.1/twilio/media",
        "ws://127.0.0.1:8765/twilio/media/",
        "http://127.0.0.1:8765/twilio/media",
    ] {
        assert_eq!(verify_upgrade(TOKENS, url, &sign(TOKEN, signed, b"")).as_deref(), Some(signed));
    }
}

#[test]
fn any_token_of_a_rotation_is_accepted_and_no_other() {
    assert!(verify_post(&["the-new-one", TOKEN], V1_URL, V1_BODY, V1));
    assert!(!verify_post(&["the-new-one"], V1_URL, V1_BODY, V1));
    assert!(!verify_post(&[], V1_URL, V1_BODY, V1));
}

#[test]
fn what_is_no_signature_is_refused() {
    for signature in
        ["", "=", "o60yKf5VdaKhQ6CT1nMflj7kfZ4", "not base64", "o60yKf5VdaKhQ6CT1nMflj7kfQ==", "é"]
    {
        assert!(!verify_post(TOKENS, V1_URL, V1_BODY, signature), "{signature:?}");
        assert_eq!(verify_upgrade(TOKENS, V3_URL, signature), None, "{signature:?}");
    }
}

#[test]
fn what_is_no_url_verifies_nothing_and_breaks_nothing() {
    for url in ["", "/twilio/voice", "switch.example.net", "://", "https://", "wss://?", "https://@:/"] {
        assert!(!verify_post(TOKENS, url, b"", V1), "{url:?}");
        assert_eq!(verify_upgrade(TOKENS, url, V3), None, "{url:?}");
    }
}
