use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use confique::toml::{FormatOptions, template};
use secrecy::ExposeSecret as _;

use super::*;

const NO_FILE: &str = "/nonexistent/tandem.toml";

/// What the environment alone makes of the configuration.
fn load_environment<const N: usize>(variables: [(&str, &str); N]) -> Result<Config, ConfigError> {
    let environment = BTreeMap::from(variables.map(|(name, text)| (name.to_owned(), text.to_owned())));
    Config::load(&Sources {
        house_file: Path::new(NO_FILE),
        chosen_file_opt: None,
        environment: &environment,
    })
}

/// What a `--config` file of this text makes of it.
fn load_file(text: &str) -> Result<Config, ConfigError> {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("chosen.toml");
    fs::write(&file, text).unwrap();
    let environment = BTreeMap::new();
    Config::load(&Sources {
        house_file: Path::new(NO_FILE),
        chosen_file_opt: Some(&file),
        environment: &environment,
    })
}

/// `config/tandem.toml` as the code would have it. Each default stands on its key's own line; the line that announces
/// it once more is left out, with the empty one above it.
fn reference() -> String {
    let listed = template::<Config>(FormatOptions::default());
    let mut lines: Vec<&str> = Vec::new();
    for line in listed.lines() {
        if line.starts_with("# Default value: ") {
            assert_eq!(lines.pop(), Some("#"), "{line}");
        } else {
            lines.push(line);
        }
    }
    lines.join("\n") + "\n"
}

/// The sentence an operator reads, without the place of the file, which differs from run to run.
fn complaint(result: Result<Config, ConfigError>) -> String {
    let message = result.expect_err("this must not load").to_string();
    match (message.find(" in /"), message.find("chosen.toml")) {
        (Some(from), Some(to)) => format!("{} in {}", &message[..from], &message[to..]),
        _ => message,
    }
}

#[test]
fn without_any_source_the_defaults_of_the_design_hold() {
    let config = load_environment([]).unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:8765");
    assert_eq!(config.server.public_url.to_string(), "http://127.0.0.1:8765");
    assert_eq!(config.server.workers, 0);
    assert_eq!(config.openai.realtime_url.to_string(), "wss://api.openai.com/v1/realtime");
    assert_eq!(config.openai.realtime_model, "gpt-realtime-2.1");
    assert_eq!(config.openai.audio, Audio::Pcmu);
    assert_eq!(config.openai.dialect, Dialect::Ga);
    assert!(config.twilio.validate_signatures);
    assert!(config.twilio.auth_token.is_empty());
    assert_eq!(config.agent.turn_detection.detector, Detector::ServerVad);
    assert_eq!(config.agent.turn_detection.threshold.to_string(), "0.5");
    assert_eq!(config.agent.turn_detection.idle_timeout_ms, None);
    assert_eq!(config.limits.call_seconds_max, 3600);
    assert_eq!((config.log.format, config.log.level), (LogFormat::Pretty, LogLevel::Info));
}

#[test]
fn the_committed_file_lists_every_key_as_the_code_has_it() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(HOUSE_FILE);
    if fs::read_to_string(&file).unwrap_or_default() != reference() {
        fs::write(&file, reference()).unwrap();
        panic!("{HOUSE_FILE} was out of date; it has been written anew, look at it and commit it");
    }
}

#[test]
fn the_committed_file_changes_nothing_by_itself() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(HOUSE_FILE);
    let environment = BTreeMap::new();
    let with = Config::load(&Sources { house_file: &file, chosen_file_opt: None, environment: &environment })
        .unwrap();
    assert_eq!(format!("{with:?}"), format!("{:?}", load_environment([]).unwrap()));
}

#[test]
fn the_listed_defaults_are_accepted_when_they_are_written_out() {
    let listed = reference();
    let written_out: Vec<&str> = listed
        .lines()
        .filter_map(|line| match line.strip_prefix('#') {
            Some(setting) => (!setting.starts_with(' ') && !setting.ends_with('=')).then_some(setting),
            None => Some(line),
        })
        .collect();
    let config = load_file(&written_out.join("\n")).unwrap();
    assert_eq!(format!("{config:?}"), format!("{:?}", load_environment([]).unwrap()));
}

#[test]
fn the_chosen_file_overrides_the_house_file_and_the_environment_overrides_both() {
    let place = tempfile::tempdir().unwrap();
    let (house, chosen) = (place.path().join("house.toml"), place.path().join("chosen.toml"));
    fs::write(&house, "[limits]\ncalls_max = 1\ncall_seconds_max = 1\ncaller_idle_seconds_max = 1").unwrap();
    fs::write(&chosen, "[limits]\ncalls_max = 2\ncall_seconds_max = 2").unwrap();
    let environment = BTreeMap::from([("TANDEM__LIMITS__CALLS_MAX".to_owned(), "3".to_owned())]);
    let sources = Sources { house_file: &house, chosen_file_opt: Some(&chosen), environment: &environment };
    let limits = Config::load(&sources).unwrap().limits;
    assert_eq!((limits.calls_max, limits.call_seconds_max, limits.caller_idle_seconds_max), (3, 2, 1));
    assert_eq!(limits.engine_ready_seconds_max, 8);
}

#[test]
fn a_missing_house_file_is_fine_and_a_missing_chosen_file_is_not() {
    let environment = BTreeMap::new();
    let house_file = Path::new(NO_FILE);
    let chosen_file_opt = Some(Path::new("/nonexistent/mine.toml"));
    let error =
        Config::load(&Sources { house_file, chosen_file_opt, environment: &environment }).unwrap_err();
    assert!(
        matches!(&error, ConfigError::Unreadable { file, .. } if file == &PathBuf::from("/nonexistent/mine.toml"))
    );
    assert!(error.to_string().starts_with("cannot read configuration file /nonexistent/mine.toml: "));
}

#[test]
fn a_house_file_that_is_there_but_unreadable_is_an_error() {
    let place = tempfile::tempdir().unwrap();
    let environment = BTreeMap::new();
    let sources = Sources { house_file: place.path(), chosen_file_opt: None, environment: &environment };
    assert!(matches!(Config::load(&sources), Err(ConfigError::Unreadable { .. })));
}

#[test]
fn a_variable_sets_text_numbers_and_booleans() {
    let config = load_environment([
        ("TANDEM__OPENAI__AUDIO", "pcm24"),
        ("TANDEM__SERVER__WORKERS", " 3 "),
        ("TANDEM__AGENT__TURN_DETECTION__THRESHOLD", "0.75"),
        ("TANDEM__AGENT__TURN_DETECTION__IDLE_TIMEOUT_MS", "6000"),
        ("TANDEM__TWILIO__VALIDATE_SIGNATURES", "false"),
        ("TANDEM__AGENT__NAME", "5"),
        ("TANDEM__AGENT__GREETING", ""),
        ("PATH", "/bin"),
        ("TANDEM_TESTS", "all"),
    ])
    .unwrap();
    assert_eq!(config.openai.audio, Audio::Pcm24);
    assert_eq!(config.server.workers, 3);
    assert_eq!(config.agent.turn_detection.threshold.to_string(), "0.75");
    assert_eq!(config.agent.turn_detection.idle_timeout_ms, Some(6000));
    assert!(!config.twilio.validate_signatures);
    assert_eq!(config.agent.name, "5");
    assert_eq!(config.agent.greeting, "");
}

#[test]
fn the_replaced_systems_names_work_and_ours_override_them() {
    let config = load_environment([
        ("OPENAI_API_KEY", "old"),
        ("TANDEM__OPENAI__API_KEY", "new"),
        ("TWILIO_ACCOUNT_SID", "AC1"),
        ("TWILIO_AUTH_TOKEN", "first, second,"),
    ])
    .unwrap();
    assert_eq!(config.openai.api_key.expose_secret(), "new");
    assert_eq!(config.twilio.account_sid, "AC1");
    let tokens: Vec<&str> = config.twilio.auth_token.iter().map(SecretString::expose_secret).collect();
    assert_eq!(tokens, ["first", "second"]);
}

#[test]
fn an_empty_old_name_counts_as_not_set() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("chosen.toml");
    fs::write(&file, "openai.api_key = \"from the file\"").unwrap();
    let environment = BTreeMap::from([("OPENAI_API_KEY".to_owned(), String::new())]);
    let sources =
        Sources { house_file: Path::new(NO_FILE), chosen_file_opt: Some(&file), environment: &environment };
    assert_eq!(Config::load(&sources).unwrap().openai.api_key.expose_secret(), "from the file");
}

#[test]
fn an_unknown_name_is_refused_and_the_nearest_known_one_is_named() {
    for (text, expected) in [
        (
            "[server]\nlisen = \"127.0.0.1:1\"",
            "unknown key `server.lisen` in chosen.toml; the nearest known one is `server.listen`",
        ),
        (
            "[sever]\nlisten = \"127.0.0.1:1\"",
            "unknown key `sever` in chosen.toml; the nearest known one is `server`",
        ),
        (
            "[agent.turn_detect]",
            "unknown key `agent.turn_detect` in chosen.toml; the nearest known one is `agent.turn_detection`",
        ),
        (
            "[server]\napi_key = \"x\"",
            "unknown key `server.api_key` in chosen.toml; the nearest known one is `speech.api_key`",
        ),
    ] {
        assert_eq!(complaint(load_file(text)), expected);
    }
    for (variable, expected) in [
        ("TANDEM__SERVER__PUBLICURL", "TANDEM__SERVER__PUBLIC_URL"),
        ("TANDEM__SERVER_LISTEN", "TANDEM__SERVER__LISTEN"),
        ("TANDEM__server__listen", "TANDEM__SERVER__LISTEN"),
    ] {
        assert_eq!(
            complaint(load_environment([(variable, "http://localhost")])),
            format!("unknown environment variable {variable}; the nearest known one is {expected}")
        );
    }
}

#[test]
fn a_bad_value_names_its_key_its_place_and_what_is_allowed() {
    let expected = |key: &str, problem: &str| format!("bad value of `{key}` in chosen.toml: {problem}");
    for (text, key, problem) in [
        ("openai.audio = \"opus\"", "openai.audio", "unknown variant `opus`, expected `pcmu` or `pcm24`"),
        ("openai.realtime_model = \"\"", "openai.realtime_model", "must not be empty"),
        (
            "server.listen = \"localhost\"",
            "server.listen",
            "must be an IP address and a port, like 127.0.0.1:8765",
        ),
        ("server.workers = \"many\"", "server.workers", "invalid type: string \"many\", expected u16"),
        ("server.workers = -1", "server.workers", "invalid value: integer `-1`, expected u16"),
        ("server.workers = 513", "server.workers", "must be 0 (one per core) to 512"),
        ("server.listen.port = 1", "server.listen", "must be an IP address and a port, like 127.0.0.1:8765"),
        ("server = 8765", "server", "this is a section, write [server] and its keys below"),
        (
            "server.public_url = \"voice.example.org\"",
            "server.public_url",
            "must be http:// or https://, a host, perhaps a port and a path, no more",
        ),
        (
            "openai.realtime_url = \"https://api.openai.com\"",
            "openai.realtime_url",
            "must be ws:// or wss://, a host, perhaps a port and a path, no more",
        ),
        ("agent.name = \"\"", "agent.name", "must not be empty"),
        ("agent.voice = \"\"", "agent.voice", "must not be empty"),
        (
            "agent.language = \"English\"",
            "agent.language",
            "must be two lower-case letters such as \"en\", or empty",
        ),
        ("agent.max_output_tokens = 0", "agent.max_output_tokens", "must be 1 to 32000"),
        ("agent.turn_detection.threshold = 1.5", "agent.turn_detection.threshold", "must be 0 to 1"),
        ("agent.turn_detection.threshold = nan", "agent.turn_detection.threshold", "must be 0 to 1"),
        (
            "agent.turn_detection.prefix_padding_ms = 5001",
            "agent.turn_detection.prefix_padding_ms",
            "must be 0 to 5000",
        ),
        (
            "agent.turn_detection.silence_duration_ms = 19",
            "agent.turn_detection.silence_duration_ms",
            "must be 20 to 10000",
        ),
        (
            "agent.turn_detection.idle_timeout_ms = 4999",
            "agent.turn_detection.idle_timeout_ms",
            "must be 5000 to 30000",
        ),
        ("limits.calls_max = 0", "limits.calls_max", "must be 1 to 100000"),
        ("limits.call_seconds_max = 0", "limits.call_seconds_max", "must be 1 to 86400"),
        ("limits.caller_idle_seconds_max = 0", "limits.caller_idle_seconds_max", "must be 1 to 86400"),
        (
            "limits.call_cost_usd_max = 0.0",
            "limits.call_cost_usd_max",
            "must be 0.000001 to 1000000, with at most six decimals",
        ),
        (
            "limits.call_cost_usd_max = inf",
            "limits.call_cost_usd_max",
            "must be 0.000001 to 1000000, with at most six decimals",
        ),
        (
            "limits.user_month_usd_max = -1.0",
            "limits.user_month_usd_max",
            "must be 0.000001 to 1000000, with at most six decimals",
        ),
        (
            "limits.agent_month_usd_max = 0.0000001",
            "limits.agent_month_usd_max",
            "must be 0.000001 to 1000000, with at most six decimals",
        ),
        (
            "limits.month_usd_max = 1000001.0",
            "limits.month_usd_max",
            "must be 0.000001 to 1000000, with at most six decimals",
        ),
        ("limits.engine_ready_seconds_max = 61", "limits.engine_ready_seconds_max", "must be 1 to 60"),
    ] {
        assert_eq!(complaint(load_file(text)), expected(key, problem));
    }
    assert_eq!(
        complaint(load_environment([("TANDEM__SERVER__WORKERS", "513")])),
        "bad value of `server.workers` in TANDEM__SERVER__WORKERS: must be 0 (one per core) to 512"
    );
}

#[test]
fn what_is_not_toml_is_refused_with_its_line() {
    let message = complaint(load_file("[server]\nworkers = 1\n[openai\n"));
    assert!(message.contains("chosen.toml is not TOML, line 3: "), "{message}");
}

#[test]
fn secrets_stay_out_of_debug_and_of_every_complaint() {
    let config =
        load_environment([("OPENAI_API_KEY", "sk-hush"), ("TWILIO_AUTH_TOKEN", "hush-token")]).unwrap();
    let shown = format!("{config:?}");
    assert!(shown.contains("REDACTED") && !shown.contains("hush"), "{shown}");

    for text in [
        "[openai]\napi_key = sk-hush",
        "[openai]\napi_key = 'sk-hush",
        "[openai]\napi_key = \"sk-hush\\q\"",
        "[openai]\napi_key = [\"sk-hush\"]",
        "[openai]\napi_key.hush = 1",
        "[openai]\napi_key = \"sk-hush\"\napi_key = \"sk-hush\"",
        "[twilio]\nauth_token = [\"hush-token\"]",
    ] {
        let message = complaint(load_file(text));
        assert!(!message.contains("hush"), "{message}");
    }
    let message = complaint(load_file("openai.api_key = 40961"));
    assert!(!message.contains("40961"), "{message}");
}

#[test]
fn serving_needs_the_keys_of_what_is_switched_on() {
    let check = |variables: &[(&str, &str)]| {
        let environment =
            variables.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect();
        let sources =
            Sources { house_file: Path::new(NO_FILE), chosen_file_opt: None, environment: &environment };
        Config::load(&sources).unwrap().check_serve().map_err(|error| error.to_string())
    };
    assert_eq!(
        check(&[]).unwrap_err(),
        "`openai.api_key` is not set: set OPENAI_API_KEY, or point openai.realtime_url at a server on this machine; \
         `tandem demo` needs neither key nor account"
    );
    assert_eq!(
        check(&[("OPENAI_API_KEY", "key")]).unwrap_err(),
        "`twilio.auth_token` is not set: set TWILIO_AUTH_TOKEN, or twilio.validate_signatures = false where only you \
         reach the server; `tandem demo` needs neither key nor account"
    );
    assert_eq!(check(&[("OPENAI_API_KEY", "key"), ("TWILIO_AUTH_TOKEN", "token")]), Ok(()));
    assert_eq!(check(&[("OPENAI_API_KEY", "key"), ("TANDEM__TWILIO__VALIDATE_SIGNATURES", "false")]), Ok(()));
    assert_eq!(
        check(&[
            ("TANDEM__OPENAI__REALTIME_URL", "ws://127.0.0.1:9/v1/realtime"),
            ("TWILIO_AUTH_TOKEN", "token")
        ]),
        Ok(())
    );
}

#[test]
fn a_mode_is_configured_when_its_servers_are_named_and_have_their_keys() {
    let modes = |pairs: &[(&str, &str)]| {
        let environment =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let sources = Sources { house_file: Path::new(""), chosen_file_opt: None, environment: &environment };
        Config::load(&sources).unwrap().modes()
    };
    let key = ("OPENAI_API_KEY", "sk-1");
    let ears = ("TANDEM__TRANSCRIPTION__MODEL", "gpt-transcribe");
    let mouth = ("TANDEM__SPEECH__PROVIDER", "openai");
    assert_eq!(modes(&[]), []);
    assert_eq!(modes(&[key]), [Mode::Traditional, Mode::Realtime]);
    assert_eq!(modes(&[key, ears]), [Mode::Traditional, Mode::Realtime]);
    assert_eq!(modes(&[key, ears, mouth]), [Mode::Traditional, Mode::Realtime, Mode::Cascade]);
    assert_eq!(modes(&[("TANDEM__OPENAI__REALTIME_URL", "ws://localhost:9/v1/realtime")]), [Mode::Realtime]);
    let own = ("TANDEM__CHAT__BASE_URL", "http://llm.internal:8000/v1");
    assert_eq!(modes(&[own]), [Mode::Traditional]);
}

#[test]
fn a_key_is_never_sent_to_somebody_elses_server() {
    let environment =
        [("OPENAI_API_KEY", "sk-1"), ("TANDEM__CHAT__BASE_URL", "https://elsewhere.example/v1")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let sources = Sources { house_file: Path::new(""), chosen_file_opt: None, environment: &environment };
    let config = Config::load(&sources).unwrap();
    assert!(config.service(config.chat.base_url.as_ref(), &config.chat.api_key).1.is_none());
    assert!(config.service(config.speech.base_url.as_ref(), &config.speech.api_key).1.is_some());
}

#[test]
fn the_ladder_and_the_human_number_are_checked() {
    let load = |name: &str, value: &str| {
        let environment = [(name.to_owned(), value.to_owned())].into();
        let sources = Sources { house_file: Path::new(""), chosen_file_opt: None, environment: &environment };
        Config::load(&sources).map_err(|error| error.to_string())
    };
    let ladder = load("TANDEM__AGENT__LADDER", "cascade, human").unwrap().agent.ladder;
    assert_eq!(ladder, [Rung::Mode(Mode::Cascade), Rung::Human]);
    for (name, value, problem) in [
        ("TANDEM__AGENT__LADDER", "cascade,operator", "must be a list of"),
        ("TANDEM__AGENT__HUMAN_NUMBER", "0800 HELP", "must be a number"),
        ("REALTIME_API_PROBABILITY", "1.5", "must be 0 to 1"),
        ("REALTIME_API_PROBABILITY", "NaN", "in REALTIME_API_PROBABILITY"),
        ("REALTIME_API_PROBABILITY", "abc", "in REALTIME_API_PROBABILITY"),
    ] {
        let error = load(name, value).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
}
