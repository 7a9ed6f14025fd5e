#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| claims::twilio_inbound(text));
