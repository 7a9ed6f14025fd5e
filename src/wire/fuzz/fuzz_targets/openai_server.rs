#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| claims::openai_server(text));
